//! What makes sense in `customers.toml`, and what does not.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;
use std::str::FromStr;

use globset::{Glob, GlobMatcher};
use time::{Date, Month};
use toml::Spanned;

use super::{Customer, GRACE_DAYS, Known, Written, WrittenCustomer};
use crate::aws::names::NameError;
use crate::aws::{AccountId, Region, RoleArn};
use crate::profile::error::{Mistake, mistake, nearest, position};

/// Everything that is wrong so far, and who has what.
struct Checker<'a> {
    file: &'a str,
    text: &'a str,
    known: &'a Known<'a>,
    mistakes: Vec<(usize, Mistake)>,
    /// Who has an account, an organization or a unit, and where that stands.
    taken: BTreeMap<String, (String, usize)>,
}

pub(super) fn checked(
    file: &str,
    text: &str,
    written: Written,
    known: &Known<'_>,
) -> Result<Vec<Customer>, Vec<Mistake>> {
    let mut checker = Checker {
        file,
        text,
        known,
        mistakes: Vec::new(),
        taken: BTreeMap::new(),
    };
    let mut written: Vec<_> = written.customers.into_iter().collect();
    // In the order of the file, so that what is said twice is wrong the second time.
    written.sort_by_key(|(_, customer)| customer.span().start);
    let customers = written.into_iter();
    let mut customers: Vec<Customer> = customers
        .map(|(name, customer)| checker.customer(name, customer))
        .collect();
    customers.sort_by(|one, other| one.name.cmp(&other.name));
    if checker.mistakes.is_empty() {
        return Ok(customers);
    }
    checker.mistakes.sort_by_key(|(at, _)| *at);
    let mistakes = checker.mistakes.into_iter();
    Err(mistakes.map(|(_, mistake)| mistake).collect())
}

impl Checker<'_> {
    fn wrong(&mut self, span: &Range<usize>, what: String, hint: Option<String>) {
        let mistake = Mistake {
            hint,
            ..mistake(self.file, self.text, Some(span.clone()), what)
        };
        self.mistakes.push((span.start, mistake));
    }

    fn customer(&mut self, name: String, written: Spanned<WrittenCustomer>) -> Customer {
        let span = written.span();
        let written = written.into_inner();
        self.name(&name, &span);
        let accounts: BTreeSet<AccountId> = self.parties(&name, &written.accounts);
        let organizations = self.parties(&name, &written.organizations);
        let units = self.parties(&name, &written.units);
        let nobody = written.accounts.is_empty()
            && written.organizations.is_empty()
            && written.units.is_empty();
        if nobody {
            let what = format!("`{name}` has neither accounts nor organizations nor units");
            self.wrong(&span, what, None);
        }
        if written.copy && written.accounts.is_empty() && !nobody {
            let what = format!("`{name}` may copy, but has no accounts");
            let hint = "AWS lets accounts alone copy snapshots, not organizations or units";
            self.wrong(&span, what, Some(hint.to_owned()));
        }
        let has_more = !organizations.is_empty() || !units.is_empty();
        let (start, end) = (self.date(&written.start), self.date(&written.end));
        if let (Some(first), Some(last), Some(place)) = (start, end, &written.end)
            && last < first
        {
            let what = format!("`{name}` ends on {last}, before it starts on {first}");
            self.wrong(&place.span(), what, None);
        }
        Customer {
            channels: self.channels(&written.channels),
            profiles: self.profiles(written.profiles.as_ref()),
            regions: self.regions(written.regions.as_ref()),
            copy: written.copy,
            roles: self.roles(&written.roles, &accounts, has_more),
            start,
            end,
            grace_days: written.grace_days.unwrap_or(GRACE_DAYS),
            accounts,
            organizations,
            units,
            name,
        }
    }

    /// A name stands in plans, logs and on command lines.
    fn name(&mut self, name: &str, span: &Range<usize>) {
        let is_letter = |char: char| char.is_ascii_alphanumeric() || "._-".contains(char);
        if name.is_empty() || !name.chars().all(is_letter) {
            let what =
                format!("the customer `{name}` is no word of letters, digits, `.`, `_`, `-`");
            self.wrong(span, what, None);
        }
    }

    fn parsed<T: FromStr<Err = NameError>>(&mut self, text: &Spanned<String>) -> Option<T> {
        match text.get_ref().parse() {
            Ok(value) => Some(value),
            Err(error) => {
                let what = format!("`{}` is no {}", error.text, error.what);
                self.wrong(&text.span(), what, Some(error.rule.to_owned()));
                None
            }
        }
    }

    /// Accounts, organizations or units: each is one customer's, once.
    fn parties<T: FromStr<Err = NameError> + Ord>(
        &mut self,
        name: &str,
        written: &[Spanned<String>],
    ) -> BTreeSet<T> {
        let mut parties = BTreeSet::new();
        for one in written {
            let Some(party) = self.parsed(one) else {
                continue;
            };
            let place = (name.to_owned(), one.span().start);
            match self.taken.insert(one.get_ref().clone(), place) {
                None => drop(parties.insert(party)),
                Some((whose, at)) => {
                    let (line, _) = position(self.text, at);
                    let what = format!("{} is `{whose}`'s already, in line {line}", one.get_ref());
                    self.wrong(&one.span(), what, None);
                }
            }
        }
        parties
    }

    /// A list that says something, where there is one.
    fn some<'w>(
        &mut self,
        what: &str,
        written: &'w Spanned<Vec<Spanned<String>>>,
    ) -> &'w [Spanned<String>] {
        if written.get_ref().is_empty() {
            self.wrong(&written.span(), format!("`{what}` is empty"), None);
        }
        written.get_ref()
    }

    fn channels(&mut self, written: &Spanned<Vec<Spanned<String>>>) -> BTreeSet<String> {
        let mut channels = BTreeSet::new();
        for one in self.some("channels", written) {
            let name = one.get_ref();
            if self.known.channels.contains(name) {
                channels.insert(name.clone());
                continue;
            }
            let known = self.known.channels;
            let near = nearest(name, known.iter().map(String::as_str));
            let hint = match near {
                Some(near) => format!("did you mean `{near}`?"),
                None => format!("there are: {}", known.join(", ")),
            };
            self.wrong(
                &one.span(),
                format!("there is no channel `{name}`"),
                Some(hint),
            );
        }
        channels
    }

    fn profiles(&mut self, written: Option<&Spanned<Vec<Spanned<String>>>>) -> Vec<GlobMatcher> {
        let Some(written) = written else {
            let every = Glob::new("*").expect("it is a pattern");
            return vec![every.compile_matcher()];
        };
        let mut globs = Vec::new();
        for one in self.some("profiles", written) {
            match Glob::new(one.get_ref()) {
                Ok(glob) => globs.push(glob.compile_matcher()),
                Err(error) => {
                    let what = format!("`{}` is no pattern: {}", one.get_ref(), error.kind());
                    self.wrong(&one.span(), what, None);
                }
            }
        }
        globs
    }

    fn regions(
        &mut self,
        written: Option<&Spanned<Vec<Spanned<String>>>>,
    ) -> Option<BTreeSet<Region>> {
        let mut regions = BTreeSet::new();
        for one in self.some("regions", written?) {
            let Some(region) = self.parsed::<Region>(one) else {
                continue;
            };
            if self.known.regions.contains(&region) {
                regions.insert(region);
                continue;
            }
            let known: Vec<&str> = self.known.regions.iter().map(Region::as_str).collect();
            let hint = format!("the publisher has: {}", known.join(", "));
            let what = format!("nothing is published to {region}");
            self.wrong(&one.span(), what, Some(hint));
        }
        Some(regions)
    }

    /// A role can launch only in an account that has the launch permission.
    fn roles(
        &mut self,
        written: &[Spanned<String>],
        accounts: &BTreeSet<AccountId>,
        has_more: bool,
    ) -> BTreeSet<RoleArn> {
        let mut roles = BTreeSet::new();
        for one in written {
            let Some(role) = self.parsed::<RoleArn>(one) else {
                continue;
            };
            if !has_more && !accounts.contains(&role.account()) {
                let what = format!("{role} is in an account that is not this customer's");
                let hint = format!("add {} to its accounts", role.account());
                self.wrong(&one.span(), what, Some(hint));
            }
            roles.insert(role);
        }
        roles
    }

    fn date(&mut self, written: &Option<Spanned<toml::value::Datetime>>) -> Option<Date> {
        let written = written.as_ref()?;
        let value = written.get_ref();
        let date = match (value.date, value.time) {
            (Some(date), None) => Month::try_from(date.month)
                .ok()
                .and_then(|month| Date::from_calendar_date(date.year.into(), month, date.day).ok()),
            _ => None,
        };
        if date.is_none() {
            let hint = "write it as 2026-01-31".to_owned();
            self.wrong(&written.span(), format!("{value} is no day"), Some(hint));
        }
        date
    }
}
