//! What customers are told of releases.
//!
//! | part | subject |
//! |---|---|
//! | [`page`] | the catalog as a web page |

pub mod page;
