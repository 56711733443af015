//! The control on messages, without a socket where none is needed, over an engine whose world is a fake.

mod calls;
mod links;
mod objects;
mod systemctl;
mod unit_files;
mod world;
