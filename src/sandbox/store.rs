//! The documents on disk: an SQLite database in the state folder.
//!
//! Write-ahead logging without waiting for the disk: a transaction is whole or not there after
//! the program is killed, and the database is sound after a power cut, which may lose the last ones.

use std::fs::OpenOptions;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};

use rusqlite::{Connection, params};

use super::shelf::{AnyShelf, Change};

/// A store that could not be used.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// The database fails.
    #[error("cannot use the sandbox's state {path}")]
    Database {
        /// The database file.
        path: PathBuf,
        /// Why it failed.
        source: rusqlite::Error,
    },
    /// A document is not what this version of the program writes.
    #[error("the sandbox's state {path} holds `{key}` ({shelf}) in a form unknown here")]
    Document {
        /// The database file.
        path: PathBuf,
        /// The shelf.
        shelf: String,
        /// The document's key.
        key: String,
        /// Why it failed.
        source: serde_json::Error,
    },
}

/// An open database.
#[derive(Debug)]
pub struct Store {
    path: PathBuf,
    connection: Connection,
}

impl Store {
    /// Opens the database at `path`, or makes it.
    ///
    /// # Errors
    /// It cannot be opened, or it is no database.
    pub fn open(path: &Path) -> Result<Store, StoreError> {
        let open = || {
            // For its owner alone: it holds keys. SQLite's other files take after it.
            let _ = OpenOptions::new()
                .write(true)
                .create_new(true)
                .mode(0o600)
                .open(path);
            let connection = Connection::open(path)?;
            // There is nothing to lose until the table is there, and waiting for the disk is what a
            // start would take most of its time for.
            connection.pragma_update(None, "synchronous", "off")?;
            connection.pragma_update(None, "journal_mode", "wal")?;
            connection.execute_batch(
                "create table if not exists document (\
                 shelf text not null, key text not null, json text not null, \
                 primary key (shelf, key)) without rowid",
            )?;
            connection.pragma_update(None, "synchronous", "normal")?;
            Ok(connection)
        };
        let connection = open().map_err(|source| StoreError::Database {
            path: path.to_owned(),
            source,
        })?;
        Ok(Store {
            path: path.to_owned(),
            connection,
        })
    }

    /// Puts every document on its shelf.
    ///
    /// # Errors
    /// The database fails, or a document is in a form unknown here.
    pub fn load(&self, shelves: Vec<&mut dyn AnyShelf>) -> Result<(), StoreError> {
        let failed = |source| self.failed(source);
        let mut statement = self
            .connection
            .prepare("select key, json from document where shelf = ?")
            .map_err(failed)?;
        for shelf in shelves {
            let mut rows = statement.query([shelf.name()]).map_err(failed)?;
            while let Some(row) = rows.next().map_err(failed)? {
                let key: String = row.get(0).map_err(failed)?;
                let json: String = row.get(1).map_err(failed)?;
                shelf
                    .load(key.clone(), &json)
                    .map_err(|source| StoreError::Document {
                        path: self.path.clone(),
                        shelf: shelf.name().to_owned(),
                        key,
                        source,
                    })?;
            }
        }
        Ok(())
    }

    /// Writes changes, all or none.
    ///
    /// # Errors
    /// The database fails.
    pub fn write(&mut self, changes: &[Change]) -> Result<(), StoreError> {
        self.try_write(changes)
            .map_err(|source| self.failed(source))
    }

    fn try_write(&mut self, changes: &[Change]) -> rusqlite::Result<()> {
        let transaction = self.connection.transaction()?;
        for change in changes {
            match &change.document {
                Some(json) => transaction
                    .prepare_cached("insert or replace into document values (?, ?, ?)")?
                    .execute(params![change.shelf, change.key, json])?,
                None => transaction
                    .prepare_cached("delete from document where shelf = ? and key = ?")?
                    .execute(params![change.shelf, change.key])?,
            };
        }
        transaction.commit()
    }

    fn failed(&self, source: rusqlite::Error) -> StoreError {
        StoreError::Database {
            path: self.path.clone(),
            source,
        }
    }
}
