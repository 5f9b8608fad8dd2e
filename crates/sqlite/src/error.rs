//! What every part of this crate fails with; each port's implementation turns it into the port's own error.

use crate::codec::is_constraint;

/// The file did not answer, or what it holds makes no sense.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StoreError {
    /// It is not to be had at the moment.
    #[error("the database is not available")]
    Unavailable(#[source] Box<dyn std::error::Error + Send + Sync>),
    /// A row is not what this program writes.
    #[error("stored data is damaged: {what}")]
    Damaged {
        /// Table and column, or a sentence; never the data.
        what: String,
    },
}

impl StoreError {
    /// Whether a retry may help.
    pub const fn is_transient(&self) -> bool {
        matches!(self, Self::Unavailable(_))
    }
}

/// What a failed statement means to a caller.
impl From<sqlx::Error> for StoreError {
    fn from(error: sqlx::Error) -> Self {
        match error {
            // The message names tables and columns, never values.
            sqlx::Error::Database(error) if is_constraint(&*error) => damaged(error.message()),
            sqlx::Error::ColumnDecode { index, .. } => damaged(format!("column {index}")),
            sqlx::Error::ColumnNotFound(name) => damaged(format!("column {name} is missing")),
            error => Self::Unavailable(Box::new(error)),
        }
    }
}

pub(crate) fn damaged(what: impl Into<String>) -> StoreError {
    StoreError::Damaged { what: what.into() }
}

#[cfg(feature = "registry")]
mod of_ra {
    use koshin_ra::{CommitError, DirectoryError, StorageError};

    use super::StoreError;

    impl From<StoreError> for StorageError {
        fn from(error: StoreError) -> Self {
            match error {
                StoreError::Unavailable(error) => Self::Unavailable(error),
                StoreError::Damaged { what } => Self::Damaged { what },
            }
        }
    }

    impl From<StoreError> for CommitError {
        fn from(error: StoreError) -> Self {
            Self::Storage(error.into())
        }
    }

    impl From<StoreError> for DirectoryError {
        fn from(error: StoreError) -> Self {
            Self::Storage(error.into())
        }
    }
}
