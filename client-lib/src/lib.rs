//! For servers that are started by socket activation.
