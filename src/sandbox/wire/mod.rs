//! How AWS's services speak: parameters of the query protocol, XML, JSON, filters and pages.

pub mod filter;
pub mod json;
pub mod page;
pub mod query;
pub mod xml;
