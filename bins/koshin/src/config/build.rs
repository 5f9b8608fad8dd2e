//! From the tables of the file to the parts of the service. Each problem is said with its key.

use koshin_issuance::{MailName, Profile, ProfileConfig};
use koshin_operator::{post::Text, profile};
use koshin_ra::Settings;
use koshin_renewal::Deadlines;
use koshin_web::{
    portal::HolderEst,
    screens::{self, Hosts},
};
use time::Duration;

use super::{
    Problems,
    schema::{Config, Holders, HostUrls, Rules},
};
use crate::{
    ocsp::OCSP_PATH,
    service::{CA_NAME, CRL_NAME},
};

impl Default for Rules {
    fn default() -> Self {
        let Settings { deadlines, .. } = Settings::default();
        let settings = Settings::default();
        let whole = |number: i64| u32::try_from(number).unwrap_or(u32::MAX);
        Self {
            session_idle_minutes: whole(settings.session_idle.whole_minutes()),
            session_total_hours: whole(settings.session_total.whole_hours()),
            code_minutes: whole(settings.code_lifetime.whole_minutes()),
            code_tries: settings.code_tries,
            permission_days: whole(settings.permission.whole_days()),
            address_rest_hours: whole(settings.address_rest.whole_hours()),
            free_tries: settings.free_tries,
            first_delay_seconds: whole(settings.first_delay.whole_seconds()),
            longest_delay_minutes: whole(settings.longest_delay.whole_minutes()),
            request_hours: whole(deadlines.request.whole_hours()),
            activation_days_after_issue: whole(deadlines.activation_after_issue.whole_days()),
            activation_days_after_end: whole(deadlines.activation_after_end.whole_days()),
            start_again_limit: deadlines.again_limit,
            start_again_hours: whole(deadlines.again_within.whole_hours()),
        }
    }
}

impl Rules {
    /// The settings of the use cases.
    pub(super) fn settings(&self) -> Settings {
        let [days, hours, minutes] = [Duration::days, Duration::hours, Duration::minutes];
        Settings {
            session_idle: minutes(self.session_idle_minutes.into()),
            session_total: hours(self.session_total_hours.into()),
            code_lifetime: minutes(self.code_minutes.into()),
            code_tries: self.code_tries,
            permission: days(self.permission_days.into()),
            address_rest: hours(self.address_rest_hours.into()),
            free_tries: self.free_tries,
            first_delay: Duration::seconds(self.first_delay_seconds.into()),
            longest_delay: minutes(self.longest_delay_minutes.into()),
            deadlines: Deadlines {
                request: hours(self.request_hours.into()),
                activation_after_issue: days(self.activation_days_after_issue.into()),
                activation_after_end: days(self.activation_days_after_end.into()),
                again_limit: self.start_again_limit,
                again_within: hours(self.start_again_hours.into()),
            },
            ..Settings::default()
        }
    }

    /// Numbers under which nothing would work any more.
    pub(super) fn check(&self, problems: &mut Problems) {
        let needed = [
            ("rules.session_idle_minutes", self.session_idle_minutes),
            ("rules.session_total_hours", self.session_total_hours),
            ("rules.code_minutes", self.code_minutes),
            ("rules.code_tries", self.code_tries.into()),
            ("rules.permission_days", self.permission_days),
            ("rules.request_hours", self.request_hours),
            ("rules.activation_days_after_issue", self.activation_days_after_issue),
        ];
        for (key, _) in needed.into_iter().filter(|(_, number)| *number == 0) {
            problems.add(key, "0 would leave no time at all");
        }
    }
}

impl HostUrls {
    /// Checks that the three hosts are `https` origins and the fourth an `http` one.
    pub(super) fn check(&self, problems: &mut Problems) {
        let urls = [
            ("hosts.portal", "https", Some(&self.portal)),
            ("hosts.public", "https", Some(&self.public)),
            ("hosts.activate", "https", Some(&self.activate)),
            ("hosts.publication", "http", self.publication.as_ref()),
        ];
        for (key, scheme, url) in urls.into_iter().filter_map(|(key, scheme, url)| Some((key, scheme, url?))) {
            let origin = url.strip_prefix(scheme).and_then(|rest| rest.strip_prefix("://"));
            let fits = |origin: &str| {
                origin.bytes().all(|b| b.is_ascii_alphanumeric() || b"-.:[]".contains(&b)) && !origin.starts_with(':')
            };
            if !origin.is_some_and(|origin| !origin.is_empty() && fits(origin)) {
                let example = format!("{scheme}://portal.example:8443");
                problems.add(key, &format!("{url:?} is no {scheme} origin without a path, such as {example}"));
            }
        }
    }

    pub(super) fn hosts(&self) -> Hosts {
        Hosts { portal: self.portal.clone(), public: self.public.clone(), activate: self.activate.clone() }
    }
}

impl Config {
    /// Writes down the defaults that follow from other settings.
    pub(super) fn complete(&mut self) {
        if let Some(publication) = &self.hosts.publication {
            let below = |name: &str| format!("{publication}/{name}");
            self.ca.crl_urls.get_or_insert_with(|| vec![below(CRL_NAME)]);
            self.ca.ca_issuers_url.get_or_insert_with(|| below(CA_NAME));
            self.ca.ocsp_url.get_or_insert_with(|| below(OCSP_PATH));
        }
        self.mail.complete();
    }

    /// What stands in every certificate; `None` after a problem.
    pub(super) fn profile(&self, problems: &mut Problems) -> Option<Profile> {
        let ca = &self.ca;
        let keys = profile::keys("ca", &ca.keys, problems);
        let config = ProfileConfig {
            country: ca.country.clone(),
            organizational_unit: ca.organizational_unit.clone(),
            mail_name: if ca.mail_in_certificate { MailName::Written } else { MailName::LeftOut },
            extended_key_usages: ca.extended_key_usages.clone(),
            crl_urls: ca.crl_urls.clone().unwrap_or_default(),
            ca_issuers_url: ca.ca_issuers_url.clone(),
            ocsp_url: ca.ocsp_url.clone(),
            policy_oids: ca.policy_oids.clone(),
            cps_url: ca.cps_url.clone(),
            keys: keys.clone().unwrap_or_default(),
            // How long one lasts is the policy's to say.
            longest_days: None,
        };
        let profile = profile::profile("ca", config, problems);
        keys.and(profile)
    }

    pub(super) fn brand(&self) -> screens::Brand {
        screens::Brand { operator: bilingual(&self.brand.operator), portal: bilingual(&self.brand.portal) }
    }

    pub(super) fn contact(&self) -> screens::Contact {
        screens::Contact {
            name: bilingual(&self.contact.name),
            telephone: self.contact.telephone.clone(),
            hours: self.contact.hours.as_ref().map(bilingual),
        }
    }
}

impl From<Holders> for HolderEst {
    fn from(holders: Holders) -> Self {
        match holders {
            Holders::Off => Self::Off,
            Holders::Ticket => Self::Ticket,
        }
    }
}

fn bilingual(text: &Text) -> screens::Bilingual {
    screens::Bilingual { ja: text.ja.clone(), en: text.en.clone() }
}
