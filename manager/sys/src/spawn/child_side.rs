//! What the child does between clone and exec.
