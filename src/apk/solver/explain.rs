//! What a resolution that failed tells its reader.

use std::fmt;

use serde::Serialize;

/// Wishes that cannot be met together.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Unsolvable {
    /// Everything that stands in the way, the first cause first.
    pub problems: Vec<Problem>,
}

/// One thing that stands in the way.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Problem {
    /// The constraint that is not met, or the packages that exclude each other.
    pub constraint: String,
    /// What is wrong with it.
    pub what: String,
    /// Who wants it: one chain from the world down to it, for each that matters.
    pub wanted_by: Vec<Vec<String>>,
    /// What is there instead, and other hints.
    pub instead: Vec<String>,
}

impl fmt::Display for Unsolvable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("unable to select packages:")?;
        for problem in &self.problems {
            write!(f, "\n{problem}")?;
        }
        Ok(())
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "  {}: {}", self.constraint, self.what)?;
        for chain in &self.wanted_by {
            write!(f, "\n    wanted by {}", chain.join(" → "))?;
        }
        for hint in &self.instead {
            write!(f, "\n    {hint}")?;
        }
        Ok(())
    }
}

impl std::error::Error for Unsolvable {}
