//! Connections: a real socket, real clients, and a real bus where one is installed.
