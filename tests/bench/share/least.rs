//! The least calls that there can be: what is not known must be asked, what is to change must be
//! changed, and what was changed is looked at once.

use super::customers::Customer;
use super::table::Calls;
use crate::seventeen::REGIONS;

/// Entries of permissions that a call changes at most.
const ENTRIES: usize = 500;
/// Grants that a call lists at most.
const GRANTS: usize = 100;

/// Of a plan, when so much is shared: an AMI, a snapshot and a key in each Region.
pub fn plan(shared: &[Customer]) -> Calls {
    let mut calls = Calls::default();
    calls.add("GetCallerIdentity", 1);
    // A channel, a manifest, and whom access was given to.
    calls.add("GetObject", 3);
    for region in REGIONS {
        calls.add("DescribeImages", 1);
        calls.add("DescribeImageAttribute", 1);
        calls.add("DescribeSnapshotAttribute", 1);
        calls.add("GetKeyPolicy", 1);
        calls.add("ListGrants", pages(roles(shared, region)));
    }
    calls
}

/// Of an apply. What is given is to be seen before anything is taken away.
pub fn apply(before: &[Customer], after: &[Customer]) -> Calls {
    let mut calls = plan(before);
    let [given, taken] = [(after, before), (before, after)].map(|(these, not_those)| {
        let these = these.iter().filter(|one| !not_those.contains(one));
        these.cloned().collect::<Vec<_>>()
    });
    // The lease, and whom access was given to: with who came, and without who went.
    let writes = usize::from(!given.is_empty()) + usize::from(!taken.is_empty());
    calls.add("PutObject", 1 + writes);
    calls.add("DeleteObject", 1);
    for region in REGIONS {
        let left = roles(after, region);
        for (changed, grants, change) in [
            (&given, left + roles(&taken, region), "CreateGrant"),
            (&taken, left, "RevokeGrant"),
        ] {
            calls.change(changed, region, (change, grants));
        }
    }
    calls
}

impl Calls {
    /// What is changed of these customers in a Region, and a look at each thing that is. So many
    /// grants there are afterwards.
    fn change(&mut self, customers: &[Customer], region: &str, (grant, grants): (&str, usize)) {
        let here = || customers.iter().filter(|one| one.is_in(region));
        let count = |of: &dyn Fn(&Customer) -> bool| -> usize {
            here()
                .filter(|one| of(one))
                .map(|one| one.accounts.len())
                .sum()
        };
        let permissions = [
            ("ImageAttribute", count(&|_| true)),
            ("SnapshotAttribute", count(&|one| one.copies)),
        ];
        for (what, entries) in permissions.into_iter().filter(|(_, entries)| *entries > 0) {
            self.add(&format!("Modify{what}"), entries.div_ceil(ENTRIES));
            self.add(&format!("Describe{what}"), 1);
        }
        if count(&|one| !one.by_roles) > 0 {
            self.add("PutKeyPolicy", 1);
            self.add("GetKeyPolicy", 1);
        }
        let roles = count(&|one| one.by_roles);
        if roles > 0 {
            self.add(grant, roles);
            self.add("ListGrants", pages(grants));
        }
    }
}

fn roles(customers: &[Customer], region: &str) -> usize {
    let here = customers.iter().filter(|one| one.is_in(region));
    let here = here.filter(|one| one.by_roles);
    here.map(|customer| customer.accounts.len()).sum()
}

fn pages(grants: usize) -> usize {
    grants.div_ceil(GRANTS).max(1)
}
