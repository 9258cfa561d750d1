import type { ComponentChildren, JSX } from "preact";
import { useEffect, useRef } from "preact/hooks";

/** A part that scrolls sideways if it has to. When it shows another page, it takes the focus. */
export function Region({
  label,
  page = "",
  children,
}: {
  label: string;
  page?: string | undefined;
  children: ComponentChildren;
}): JSX.Element {
  const region = useRef<HTMLDivElement>(null);
  const shown = useRef(page);
  useEffect(() => {
    // Who changes a filter stays there.
    if (shown.current !== page && !(document.activeElement instanceof HTMLSelectElement)) region.current?.focus();
    shown.current = page;
  }, [page]);
  return (
    <div ref={region} class="scroll" tabIndex={0} role="region" aria-label={label}>
      {children}
    </div>
  );
}
