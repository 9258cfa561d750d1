"""The page for the person on call: TypeScript and Preact, built into `chalicelib/page`."""
