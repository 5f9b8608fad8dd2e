//! `[agent]`: whether holders use an agent, and how well their keys have to be protected, for each role.

use koshin_operator::config::Problems;
use koshin_ra::{Agents, ByRole, Settings};
use koshin_types::ProtectionLevel;
use serde::{Deserialize, Serialize};

/// Agents on holders' computers.
#[derive(Debug, Clone, Copy, Default, Deserialize, Serialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct Agent {
    pub(crate) administrator: Use,
    pub(crate) user: Use,
    pub(crate) minimum_protection: Minimum,
}

/// Whether a role uses one.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Use {
    Off,
    #[default]
    Offered,
    Required,
}

/// The least protection of each role's keys.
#[derive(Debug, Clone, Copy, Default, Deserialize, Serialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct Minimum {
    pub(crate) administrator: Level,
    pub(crate) user: Level,
}

/// Where a key is, as its agent claims it.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Level {
    #[default]
    File,
    Os,
    Hardware,
}

impl From<Use> for Agents {
    fn from(word: Use) -> Self {
        match word {
            Use::Off => Self::Off,
            Use::Offered => Self::Offered,
            Use::Required => Self::Required,
        }
    }
}

impl From<Level> for ProtectionLevel {
    fn from(level: Level) -> Self {
        match level {
            Level::File => Self::File,
            Level::Os => Self::Os,
            Level::Hardware => Self::Hardware,
        }
    }
}

impl Agent {
    /// These settings with what this table says.
    pub(super) fn settings(self, settings: Settings) -> Settings {
        let minimum = self.minimum_protection;
        Settings {
            agents: ByRole { administrator: self.administrator.into(), user: self.user.into() },
            minimum_protection: ByRole { administrator: minimum.administrator.into(), user: minimum.user.into() },
            ..settings
        }
    }

    /// A role that could get no certificate at all.
    pub(super) fn check(self, problems: &mut Problems) {
        let minimum = self.minimum_protection;
        let roles = [
            ("agent.administrator", self.administrator, minimum.administrator),
            ("agent.user", self.user, minimum.user),
        ];
        for (key, word, minimum) in roles {
            if word == Use::Off && minimum != Level::File {
                problems
                    .add(key, "off, and minimum_protection asks for more than a file: nobody could get a certificate");
            }
        }
    }
}
