/** The atlas's regions (Desikan-Killiany and FreeSurfer's subcortical labels) whose names are not words, without sides. */

export const ENGLISH_REGIONS: Record<string, string> = {
  "inf-lat-vent": "inferior horn", "3rd-ventricle": "third ventricle", "4th-ventricle": "fourth ventricle",
  bankssts: "banks of the superior temporal sulcus", caudalanteriorcingulate: "caudal anterior cingulate",
  caudalmiddlefrontal: "caudal middle frontal", csf: "cerebrospinal fluid", "deep-grey": "deep grey matter",
  frontalpole: "frontal pole", inferiorparietal: "inferior parietal", inferiortemporal: "inferior temporal",
  isthmuscingulate: "isthmus of the cingulate", lateraloccipital: "lateral occipital",
  lateralorbitofrontal: "lateral orbitofrontal", medialorbitofrontal: "medial orbitofrontal",
  middletemporal: "middle temporal", parsopercularis: "pars opercularis", parsorbitalis: "pars orbitalis",
  parstriangularis: "pars triangularis", posteriorcingulate: "posterior cingulate",
  rostralanteriorcingulate: "rostral anterior cingulate", rostralmiddlefrontal: "rostral middle frontal",
  superiorfrontal: "superior frontal", superiorparietal: "superior parietal", superiortemporal: "superior temporal",
  temporalpole: "temporal pole", transversetemporal: "transverse temporal", ventraldc: "ventral diencephalon",
  "wm-hypointensities": "white-matter hypointensities", "non-wm-hypointensities": "grey-matter hypointensities",
};
