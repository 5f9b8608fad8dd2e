//! Several statements that go to SQLite in one step.

use sqlx::{Arguments as _, Encode, Sqlite, Type, sqlite::SqliteArguments};

/// Statements and their arguments, in order. Each statement is a constant that begins with a comment naming its
/// function, uses plain `?` placeholders and is followed by as many [`Script::bind`] as it has. The same sequence of
/// statements is the same text and so is prepared once.
///
/// One script is one hand-over to SQLite's thread; statement by statement that hand-over would cost more than the work.
#[derive(Default)]
pub(crate) struct Script {
    pub(crate) text: String,
    pub(crate) arguments: SqliteArguments,
    /// The first value that could not be encoded. None of ours can fail; one that does must not become NULL.
    pub(crate) failed: Option<sqlx::Error>,
}

impl Script {
    pub(crate) fn one(statement: &'static str) -> Self {
        Self::default().then(statement)
    }

    pub(crate) fn push(&mut self, statement: &'static str) {
        self.text.push_str(statement);
        self.text.push_str(";\n");
    }

    pub(crate) fn then(mut self, statement: &'static str) -> Self {
        self.push(statement);
        self
    }

    /// The same with statements without arguments around it.
    pub(crate) fn between(self, before: &'static str, after: &'static str) -> Self {
        Self { text: [before, &self.text, after].concat(), ..self }
    }

    pub(crate) fn bind<'t, T: Encode<'t, Sqlite> + Type<Sqlite>>(&mut self, value: T) -> &mut Self {
        if let Err(error) = self.arguments.add(value) {
            self.failed.get_or_insert(sqlx::Error::Encode(error));
        }
        self
    }

    pub(crate) fn with<'t, T: Encode<'t, Sqlite> + Type<Sqlite>>(mut self, value: T) -> Self {
        self.bind(value);
        self
    }
}
