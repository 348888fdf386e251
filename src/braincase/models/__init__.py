"""The autoencoders, their losses, training and embedding; the only room with torch."""
