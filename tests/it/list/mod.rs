//! `list` as customers use it: the program with a login of theirs, against a local AWS.

mod access;
mod channels;
mod images;
mod shop;
