//! Which package a path belongs to, and who wins when two want it.

use std::collections::HashMap;
use std::rc::Rc;

/// Who installed what: conflicts are decided on it.
#[derive(Debug, Default)]
pub struct Owners {
    /// Package by path.
    pub files: HashMap<String, Rc<Owner>>,
    /// User, group and mode that packages give a folder.
    pub directories: HashMap<String, (u32, u32, u32)>,
}

/// A package as far as conflicts need it.
#[derive(Debug, Clone, Default)]
pub struct Owner {
    /// Name.
    pub name: String,
    /// The aport it was built from.
    pub origin: Option<String>,
    /// Names whose files it may take over.
    pub replaces: Vec<String>,
    /// Who wins when two replace one another.
    pub replaces_priority: u32,
}

impl Owner {
    /// Whether a file of `before` becomes this package's, stays, or is a conflict.
    pub fn against(&self, before: &Owner) -> Claim {
        let replaces = |one: &Owner, other: &Owner| one.replaces.contains(&other.name);
        if self.name == before.name || (self.origin.is_some() && self.origin == before.origin) {
            return Claim::Take;
        }
        match (replaces(self, before), replaces(before, self)) {
            (true, true) if before.replaces_priority > self.replaces_priority => Claim::Leave,
            (true, _) => Claim::Take,
            (false, true) => Claim::Leave,
            (false, false) => Claim::Conflict,
        }
    }
}

/// What becomes of a file that is there already.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Claim {
    /// The new package's takes its place.
    Take,
    /// It stays.
    Leave,
    /// Neither may replace the other.
    Conflict,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn conflicts_follow_apk() {
        let owner = |name: &str, origin: &str, replaces: &[&str], replaces_priority| Owner {
            name: name.to_owned(),
            origin: Some(origin.to_owned()),
            replaces: replaces.iter().map(|name| (*name).to_owned()).collect(),
            replaces_priority,
        };
        let a = owner("a", "a", &[], 0);
        assert!(matches!(
            owner("b", "b", &[], 0).against(&a),
            Claim::Conflict
        ));
        assert!(matches!(owner("b", "a", &[], 0).against(&a), Claim::Take));
        assert!(matches!(
            owner("b", "b", &["a"], 0).against(&a),
            Claim::Take
        ));
        let c = owner("c", "c", &["b"], 5);
        assert!(matches!(owner("b", "b", &[], 0).against(&c), Claim::Leave));
        assert!(matches!(
            owner("b", "b", &["c"], 1).against(&c),
            Claim::Leave
        ));
        assert!(matches!(
            owner("b", "b", &["c"], 9).against(&c),
            Claim::Take
        ));
    }
}
