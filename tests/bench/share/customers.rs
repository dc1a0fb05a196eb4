//! Who gets what.

use std::fmt::Write as _;

use alpine_ami::sandbox::id::AccountId;

use crate::seventeen::REGIONS;

/// Accounts at first.
pub const ACCOUNTS: usize = 1000;
const CUSTOMERS: usize = 50;
/// Regions of a customer: a key's policy has room for some 320 accounts, so that not every customer
/// can be in every Region.
const PLACES: usize = 5;
/// Accounts of the customer that comes.
const NEW_ACCOUNTS: usize = 10;
/// The customer that goes.
const GOES: usize = 24;

/// A customer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Customer {
    pub name: String,
    pub accounts: Vec<String>,
    pub regions: Vec<&'static str>,
    /// It may copy.
    pub copies: bool,
    /// It gets keys by grants, for a role in each account.
    pub by_roles: bool,
}

impl Customer {
    fn new(number: usize, accounts: impl Iterator<Item = usize>) -> Customer {
        let regions = REGIONS.iter().cycle().skip(number * PLACES).take(PLACES);
        Customer {
            name: format!("customer-{number:02}"),
            accounts: accounts.map(account).collect(),
            regions: regions.copied().collect(),
            copies: number.is_multiple_of(2),
            by_roles: number % 10 == 5,
        }
    }

    pub fn is_in(&self, region: &str) -> bool {
        self.regions.contains(&region)
    }

    /// So many times an account is in a Region.
    pub fn pairs(&self) -> usize {
        self.accounts.len() * self.regions.len()
    }
}

fn account(number: usize) -> String {
    format!("7{number:011}")
}

/// Those at first.
pub fn first() -> Vec<Customer> {
    let each = ACCOUNTS / CUSTOMERS;
    let customer = |number| Customer::new(number, number * each..(number + 1) * each);
    (0..CUSTOMERS).map(customer).collect()
}

/// Those at last: one has come, and one is gone.
pub fn later(first: &[Customer]) -> Vec<Customer> {
    let mut later = first.to_vec();
    later.remove(GOES);
    later.push(Customer::new(CUSTOMERS, ACCOUNTS..ACCOUNTS + NEW_ACCOUNTS));
    later
}

/// All accounts of the sandbox.
pub fn all_accounts() -> Vec<(String, AccountId)> {
    let named = |number| {
        let id = account(number).parse().expect("twelve digits");
        (format!("account-{number}"), id)
    };
    (0..ACCOUNTS + NEW_ACCOUNTS).map(named).collect()
}

/// The file of customers.
pub fn file(customers: &[Customer]) -> String {
    let mut text = String::new();
    for customer in customers {
        let list = |items: &[String]| format!("[\"{}\"]", items.join("\", \""));
        let roles = customer.accounts.iter().filter(|_| customer.by_roles);
        let roles: Vec<String> = roles
            .map(|account| format!("arn:aws:iam::{account}:role/nodes"))
            .collect();
        let roles = match &roles[..] {
            [] => "[]".to_owned(),
            roles => list(roles),
        };
        // Writing to a string does not fail.
        let _ = writeln!(
            text,
            "[customers.{}]\naccounts = {}\nroles = {roles}\nregions = [\"{}\"]\n\
             channels = [\"stable\"]\ncopy = {}\n",
            customer.name,
            list(&customer.accounts),
            customer.regions.join("\", \""),
            customer.copies,
        );
    }
    text
}

/// What is measured, in words.
pub fn heading(customers: &[Customer], latency: u64) -> String {
    let shared = |region: &&str| {
        let here = customers.iter().filter(|customer| customer.is_in(region));
        here.map(|customer| customer.accounts.len()).sum::<usize>()
    };
    let most = REGIONS.iter().map(shared).max().unwrap_or_default();
    format!(
        "{ACCOUNTS} accounts of {CUSTOMERS} customers in {} Regions, each customer in {PLACES} of \
         them, {latency} ms a call.\nUp to {most} accounts share an AMI; one customer in two may \
         copy, one in ten gets keys by grants, for a role in each account.",
        REGIONS.len()
    )
}
