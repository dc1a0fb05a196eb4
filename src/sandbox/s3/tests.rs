//! Tests: signed requests go the whole way, but for the socket.

mod buckets;
mod client;
mod conditions;
mod credentials;
mod listings;
mod multipart;
mod names;
mod objects;
mod policies;
mod restart;
mod versions;
