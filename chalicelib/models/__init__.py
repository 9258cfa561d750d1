"""The immutable records and the enumerations that the packages share. No I/O here."""
