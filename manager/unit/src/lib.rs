//! What unit files say: names, values, directives, both syntaxes. Pure: no I/O.
