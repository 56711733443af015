//! What must happen: the state machines of sockets, services, groups and jobs. Pure: no I/O, no clock.
