//! What the sandbox remembers: named shelves of documents, changed in transactions.
//!
//! A shelf knows what was changed since the last commit and how it was before. So whoever handles
//! a call writes straight into it, and the call as a whole is kept or taken back.

use std::collections::BTreeMap;
use std::ops::Bound;
use std::sync::Arc;

use serde::Serialize;
use serde::de::DeserializeOwned;

/// What a commit writes: a document of a shelf, or that there is none any more.
#[derive(Debug)]
pub struct Change {
    /// The shelf.
    pub shelf: &'static str,
    /// The document's key.
    pub key: String,
    /// The document as JSON.
    pub document: Option<String>,
}

/// Documents by key.
#[derive(Debug, Clone)]
pub struct Shelf<T> {
    name: &'static str,
    items: BTreeMap<String, Arc<T>>,
    /// What changed documents were before.
    before: BTreeMap<String, Option<Arc<T>>>,
}

impl<T: Clone> Shelf<T> {
    /// An empty shelf; the name is the documents' place in the store and must not change.
    pub fn new(name: &'static str) -> Shelf<T> {
        Shelf {
            name,
            items: BTreeMap::new(),
            before: BTreeMap::new(),
        }
    }

    /// The document under a key.
    pub fn get(&self, key: &str) -> Option<&T> {
        self.items.get(key).map(Arc::as_ref)
    }

    /// Every document, in the order of their keys.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &T)> {
        self.items.iter().map(|(key, item)| (key.as_str(), &**item))
    }

    /// The documents from a key on, in the order of their keys.
    pub fn from_key<'a>(
        &'a self,
        key: &str,
    ) -> impl Iterator<Item = (&'a str, &'a T)> + use<'a, T> {
        self.items
            .range::<str, _>((Bound::Included(key), Bound::Unbounded))
            .map(|(key, item)| (key.as_str(), &**item))
    }

    /// Every document, in the order of their keys.
    pub fn values(&self) -> impl Iterator<Item = &T> {
        self.items.values().map(Arc::as_ref)
    }

    /// The documents whose keys begin so, in the order of their keys.
    pub fn under(&self, prefix: impl Into<String>) -> impl Iterator<Item = (&str, &T)> {
        let prefix = prefix.into();
        self.items
            .range(prefix.clone()..)
            .take_while(move |(key, _)| key.starts_with(&prefix))
            .map(|(key, item)| (key.as_str(), &**item))
    }

    /// How many documents there are.
    pub fn len(&self) -> usize {
        self.items.len()
    }

    /// Whether there is no document.
    pub fn is_empty(&self) -> bool {
        self.items.is_empty()
    }

    /// Puts a document in, in place of the one under that key.
    pub fn insert(&mut self, key: impl Into<String>, item: T) {
        let key = key.into();
        self.remember(&key);
        self.items.insert(key, Arc::new(item));
    }

    /// The document under a key, to change it.
    pub fn get_mut(&mut self, key: &str) -> Option<&mut T> {
        if !self.items.contains_key(key) {
            return None;
        }
        self.remember(key);
        self.items.get_mut(key).map(Arc::make_mut)
    }

    /// Takes a document out.
    pub fn remove(&mut self, key: &str) -> Option<T> {
        self.remember(key);
        self.items.remove(key).map(Arc::unwrap_or_clone)
    }

    fn remember(&mut self, key: &str) {
        if !self.before.contains_key(key) {
            self.before
                .insert(key.to_owned(), self.items.get(key).cloned());
        }
    }
}

/// A shelf of whatever documents, as the store sees it.
pub trait AnyShelf {
    /// The shelf's name in the store.
    fn name(&self) -> &'static str;
    /// What was changed since the last commit.
    fn changes(&self) -> Vec<Change>;
    /// The changes are in the store.
    fn committed(&mut self);
    /// Takes back every change since the last commit.
    fn roll_back(&mut self);
    /// Puts in a document from the store.
    ///
    /// # Errors
    /// It is not what this shelf holds.
    fn load(&mut self, key: String, document: &str) -> serde_json::Result<()>;
}

impl<T: Clone + Serialize + DeserializeOwned> AnyShelf for Shelf<T> {
    fn name(&self) -> &'static str {
        self.name
    }

    fn changes(&self) -> Vec<Change> {
        self.before
            .keys()
            .map(|key| Change {
                shelf: self.name,
                key: key.clone(),
                document: self.items.get(key).map(|item| {
                    serde_json::to_string(&**item).expect("a document of ours is valid JSON")
                }),
            })
            .collect()
    }

    fn committed(&mut self) {
        self.before.clear();
    }

    fn roll_back(&mut self) {
        for (key, item) in std::mem::take(&mut self.before) {
            match item {
                Some(item) => self.items.insert(key, item),
                None => self.items.remove(&key),
            };
        }
    }

    fn load(&mut self, key: String, document: &str) -> serde_json::Result<()> {
        self.items
            .insert(key, Arc::new(serde_json::from_str(document)?));
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn changes_are_kept_or_taken_back() {
        let mut shelf = Shelf::new("numbers");
        shelf.insert("a", 1);
        shelf.insert("b", 2);
        shelf.committed();

        shelf.insert("a", 10);
        *shelf.get_mut("a").expect("a") += 1;
        shelf.remove("b");
        shelf.insert("c", 3);
        shelf.remove("d");
        let changes: Vec<_> = shelf
            .changes()
            .into_iter()
            .map(|change| (change.key, change.document))
            .collect();
        let text = |text: &str| Some(text.to_owned());
        assert_eq!(
            changes,
            [
                ("a".to_owned(), text("11")),
                ("b".to_owned(), None),
                ("c".to_owned(), text("3")),
                ("d".to_owned(), None),
            ]
        );
        shelf.roll_back();
        assert_eq!(
            shelf.iter().collect::<Vec<_>>(),
            [("a", &1), ("b", &2)],
            "as before"
        );
        assert!(shelf.changes().is_empty());
    }

    #[test]
    fn documents_under_a_prefix() {
        let mut shelf = Shelf::new("numbers");
        for (number, key) in ["a", "b", "b/1", "b/2", "c"].into_iter().enumerate() {
            shelf.insert(key, number);
        }
        let under = |prefix: &str| shelf.under(prefix).map(|(key, _)| key).collect::<Vec<_>>();
        assert_eq!(under("b/"), ["b/1", "b/2"]);
        assert_eq!(under("d"), [""; 0]);
    }
}
