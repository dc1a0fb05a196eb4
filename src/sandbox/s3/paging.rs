//! The algorithm of every listing: keys in order, rolled up at a delimiter, a page at a time.

/// What a listing asks for.
#[derive(Debug, Clone, Copy)]
pub struct Query<'a> {
    /// Keys begin with this.
    pub prefix: &'a str,
    /// Keys are rolled up to the first of these after the prefix; empty for none.
    pub delimiter: &'a str,
    /// Keys up to this one were listed before; a rolled-up prefix stands for all below it.
    pub after: &'a str,
    /// So many keys and prefixes make a page.
    pub most: usize,
}

/// A page of a listing.
#[derive(Debug, PartialEq, Eq)]
pub struct Page<T> {
    /// What was found, by key.
    pub items: Vec<T>,
    /// What was rolled up.
    pub prefixes: Vec<String>,
    /// Where the next page goes on, if there is one.
    pub next: Option<String>,
}

/// A page of `all`, which are keys in order with what they stand for. Several things may have the
/// same key; `after` then is of no use to tell them apart, and the caller leaves out those before.
pub fn page<'a, T>(all: impl Iterator<Item = (&'a str, T)>, query: Query<'_>) -> Page<T> {
    let mut page = Page {
        items: Vec::new(),
        prefixes: Vec::new(),
        next: None,
    };
    let mut last: Option<String> = None;
    for (key, item) in all {
        let Some(rest) = key.strip_prefix(query.prefix) else {
            continue;
        };
        let rolled = (!query.delimiter.is_empty())
            .then(|| rest.find(query.delimiter))
            .flatten()
            .map(|at| &key[..query.prefix.len() + at + query.delimiter.len()]);
        if let Some(rolled) = rolled {
            let was_seen =
                rolled == query.after || page.prefixes.last().is_some_and(|seen| seen == rolled);
            if was_seen {
                continue;
            }
        }
        if page.items.len() + page.prefixes.len() == query.most {
            // With room for nothing, there is no next page either.
            page.next = last;
            break;
        }
        match rolled {
            Some(rolled) => page.prefixes.push(rolled.to_owned()),
            None => page.items.push(item),
        }
        last = Some(rolled.unwrap_or(key).to_owned());
    }
    page
}
