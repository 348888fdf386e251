/** A modal window; the browser keeps the focus inside, Escape closes it. */

import type { ComponentChildren } from "preact";
import { useLayoutEffect, useRef } from "preact/hooks";
import { t } from "../i18n";

export function Dialog(props: {
  title: string;
  className?: string;
  onClose?: () => void;
  children: ComponentChildren;
}) {
  const element = useRef<HTMLDialogElement>(null);
  // Before the browser paints: a key pressed as soon as the text is there must reach the dialog.
  useLayoutEffect(() => {
    element.current?.showModal();
  }, []);
  return (
    <dialog
      ref={element} class={props.className ?? ""} aria-label={props.title}
      onClose={() => props.onClose?.()}
      onCancel={(event) => {
        if (!props.onClose) event.preventDefault();
      }}
    >
      <header>
        <h2>{props.title}</h2>
        {props.onClose && (
          <button type="button" class="quiet" onClick={() => element.current?.close()}>{t("close")}</button>
        )}
      </header>
      {props.children}
    </dialog>
  );
}
