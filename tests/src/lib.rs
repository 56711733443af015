//! What the end-to-end tests share: starting managers in temporary directories and waiting for conditions.
