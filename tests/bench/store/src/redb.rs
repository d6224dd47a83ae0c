//! redb: two versions with the same code, as far as it is used here. A commit is durable when it
//! returns, which is the default of both.

macro_rules! store {
    ($module:ident, $library:ident, $($trait:ident),+) => {
        pub(crate) mod $module {
            use crate::stores::failed;
            use $library::{Database, TableDefinition, $($trait),+};
            use std::{error::Error, path::Path};
            use wsx::delivery::{Change, Store, StoreError};

            const RECORDS: TableDefinition<'_, &str, &[u8]> = TableDefinition::new("records");

            pub(crate) struct Redb(Database);

            impl Redb {
                /// Compares the checksums of the whole file, too. A file that redb has repaired is
                /// an error: it was damaged.
                pub(crate) fn open(path: &Path) -> Result<Self, StoreError> {
                    let mut database = Database::create(path).map_err(failed)?;
                    if !database.check_integrity().map_err(failed)? {
                        return Err(StoreError::other("redb has repaired the file"));
                    }
                    Ok(Self(database))
                }

                fn read(&self, each: &mut dyn FnMut(&str, &[u8])) -> Result<(), Box<dyn Error>> {
                    let transaction = self.0.begin_read()?;
                    let records = transaction.open_table(RECORDS)?;
                    for record in records.iter()? {
                        let (key, value) = record?;
                        each(key.value(), value.value());
                    }
                    Ok(())
                }

                fn write(&self, changes: &[Change]) -> Result<(), Box<dyn Error>> {
                    let transaction = self.0.begin_write()?;
                    {
                        let mut records = transaction.open_table(RECORDS)?;
                        for change in changes {
                            match change {
                                Change::Put { key, value } => drop(records.insert(&**key, &**value)?),
                                Change::Delete { key } => drop(records.remove(&**key)?),
                                change => unreachable!("{change:?}"),
                            }
                        }
                    }
                    Ok(transaction.commit()?)
                }
            }

            impl Store for Redb {
                fn load(&mut self, each: &mut dyn FnMut(&str, &[u8])) -> Result<(), StoreError> {
                    self.read(each).map_err(failed)
                }

                fn commit(&mut self, changes: &[Change]) -> Result<(), StoreError> {
                    self.write(changes).map_err(failed)
                }
            }
        }
    };
}

store!(redb_2, redb2, ReadableTable);
store!(redb_4, redb4, ReadableDatabase, ReadableTable);
