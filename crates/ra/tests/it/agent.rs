//! Renewal and enrolment by an agent: what a ticket opens, what the digits confirm, and what neither does.

use std::sync::{Arc, atomic::Ordering};

use koshin_expiry::Policy;
use koshin_issuance::{Gate, IssueError};
use koshin_ra::{
    Access, AgentError, AgentStage, AgentStanding, Agents, Bundle, ByRole, ChangeError, IssuanceError, Passwords, Ra,
    SessionError, Settings,
};
use koshin_renewal::{Admission, Dialog, Refused, Status};
use koshin_types::{Fingerprint, ProtectionLevel, RenewalId, RevocationReason};
use time::{Duration, UtcDateTime};

use crate::town::{NOW, PASSWORD, Town, enrolled_for, entropy, key, operator, sha256};

/// A subject with a certificate in its last 30 days, signed in, and a ticket for its agent.
struct Desk {
    certificate: Fingerprint,
    access: Access,
    ticket: String,
    digits: String,
    renewal: RenewalId,
}

impl Town {
    async fn desk(&self, id: &str) -> Desk {
        let certificate = self.enrolled(id, enrolled_for(8)).await;
        let access = self.sign_in(id, &certificate, NOW).await.access;
        let renewal = self.ra.start_renewal(&access, NOW).await.unwrap();
        self.at_desk(certificate, renewal).await
    }

    /// The same holder, after another sign-in.
    async fn at_desk(&self, certificate: Fingerprint, renewal: RenewalId) -> Desk {
        let id = self.ra.holder(&certificate).await.unwrap().unwrap().subject.id.to_string();
        let access = self.sign_in(&id, &certificate, NOW).await.access;
        let ticket = self.ra.agent_ticket(&access, renewal, NOW).await.unwrap();
        assert_eq!((ticket.until, ticket.digits.len()), (NOW + Duration::minutes(10), 4));
        let (ticket, digits) = (ticket.token.reveal().to_owned(), ticket.digits);
        Desk { certificate, access, ticket, digits, renewal }
    }

    /// Ticket and digits, up to the request.
    async fn confirmed(&self, desk: &Desk) {
        let opened = self.ra.agent_open(Some(&desk.certificate), &desk.ticket, NOW).await.unwrap();
        assert_eq!(opened.renewal, desk.renewal);
        self.ra.agent_confirm(Some(&desk.certificate), desk.renewal, &desk.digits, NOW).await.unwrap();
    }

    async fn by_agent(&self, desk: &Desk, csr: &[u8], claimed: ProtectionLevel) -> Result<Bundle, AgentError> {
        self.by_agent_at(desk, csr, claimed, NOW).await
    }

    async fn by_agent_at(
        &self,
        desk: &Desk,
        csr: &[u8],
        claimed: ProtectionLevel,
        now: UtcDateTime,
    ) -> Result<Bundle, AgentError> {
        let requested = self.ra.agent_request(Some(&desk.certificate), desk.renewal, csr, claimed, now).await;
        requested.map(|(bundle, _)| bundle)
    }

    fn recorded(&self, word: &str) -> usize {
        self.store.audit().iter().filter(|record| record.word == word).count()
    }

    /// Nothing was issued, and the audit log has so many refusals.
    async fn untouched(&self, id: &str, refusals: usize) {
        let holding = self.holding(id).await;
        assert!(holding.certificates.iter().all(|held| held.status != Status::Pending), "nothing is issued");
        assert_eq!(self.recorded("agent_refused"), refusals);
    }
}

const HARDWARE: ProtectionLevel = ProtectionLevel::Hardware;

fn standing(state: &'static str, bundle: Option<&Bundle>) -> AgentStanding {
    AgentStanding { state, serial: bundle.map(|bundle| bundle.serial) }
}

#[tokio::test]
async fn ticket_digits_request_installed_activated() {
    let town = Town::new().await;
    let desk = town.desk("U-1").await;
    let (shown, id, ra) = (Some(&desk.certificate), desk.renewal, &town.ra);
    let opened = ra.agent_open(shown, &desk.ticket, NOW).await.unwrap();
    assert_eq!((opened.file.subject.id.as_str(), opened.minimum), ("U-1", ProtectionLevel::File));
    assert_eq!(ra.agent_standing(shown, id, NOW).await.unwrap(), standing("started", None));
    assert!(matches!(town.by_agent(&desk, &key(), HARDWARE).await, Err(AgentError::NotConfirmed)));
    for _ in 0..2 {
        ra.agent_confirm(shown, id, &desk.digits, NOW).await.unwrap();
    }
    let csr = key();
    let bundle = town.by_agent(&desk, &csr, HARDWARE).await.unwrap();
    let new = sha256(&bundle.certificate);
    assert_eq!(town.holding("U-1").await.certificate(&new).unwrap().key.protection, HARDWARE);
    assert!(ra.is_agents(&ra.holder(&new).await.unwrap().unwrap()).await.unwrap());
    for _ in 0..2 {
        ra.agent_installed(shown, id, NOW).await.unwrap();
    }
    assert_eq!(ra.agent_standing(shown, id, NOW).await.unwrap(), standing("delivered", Some(&bundle)));
    let (serial, owed) = ra.activate(&new, NOW).await.unwrap();
    assert_eq!((serial, owed.close), (bundle.serial, vec![desk.certificate]));
    // Whoever was killed in between finds out with either certificate.
    for certificate in [&desk.certificate, &new] {
        let found = ra.agent_standing(Some(certificate), id, NOW).await.unwrap();
        assert_eq!(found, standing("activated", Some(&bundle)));
    }
    for word in ["agent_ticket_made", "agent_opened", "agent_confirmed", "requested_by_agent"] {
        assert_eq!(town.recorded(word), 1, "{word}");
    }
    assert_eq!(town.recorded("agent_refused"), 1, "the request before the digits");
}

#[tokio::test]
async fn a_phished_ticket_opens_nothing_and_stays_its_holders() {
    let town = Town::new().await;
    let mine = town.desk("U-1").await;
    let thief = town.enrolled("U-2", enrolled_for(8)).await;
    let phished = town.ra.agent_open(Some(&thief), &mine.ticket, NOW).await;
    assert!(matches!(phished, Err(AgentError::OtherCertificate)), "{phished:?}");
    town.untouched("U-1", 1).await;
    town.untouched("U-2", 1).await;
    let record = town.store.audit().into_iter().find(|record| record.word == "agent_refused").unwrap();
    assert_eq!(record.subject.unwrap().as_str(), "U-1", "its holder has to find it");
    assert_eq!(record.actor, koshin_ra::Actor::Holder("U-2".parse().unwrap()));
    let none = town.ra.agent_open(None, &mine.ticket, NOW).await;
    assert!(matches!(none, Err(AgentError::NoCertificate)));
    let unknown = town.ra.agent_open(Some(&Fingerprint::new([9; 32])), &mine.ticket, NOW).await;
    assert!(matches!(unknown, Err(AgentError::Certificate(Admission::Unknown))));
    // Nor do the later steps.
    for certificate in [Some(&thief), None] {
        let refused = town.ra.agent_confirm(certificate, mine.renewal, &mine.digits, NOW).await.unwrap_err();
        assert!(matches!(refused, AgentError::NotFound { .. } | AgentError::NoCertificate), "{refused:?}");
    }
    town.confirmed(&mine).await;
    let foreign = town.ra.agent_request(Some(&thief), mine.renewal, &key(), HARDWARE, NOW).await;
    assert!(matches!(foreign, Err(AgentError::NotFound { .. })));
    let foreign = town.ra.agent_standing(Some(&thief), mine.renewal, NOW).await;
    assert!(matches!(foreign, Err(AgentError::NotFound { .. })));
    town.by_agent(&mine, &key(), HARDWARE).await.unwrap();
}

#[tokio::test]
async fn a_ticket_is_used_once_and_in_time() {
    let town = Town::new().await;
    let desk = town.desk("U-1").await;
    let open = async |ticket: &str, now| town.ra.agent_open(Some(&desk.certificate), ticket, now).await;
    let late = NOW + Duration::minutes(10);
    assert!(matches!(open(&desk.ticket, late).await, Err(AgentError::TicketWrong)));
    town.untouched("U-1", 1).await;
    let (a, b) = tokio::join!(open(&desk.ticket, NOW), open(&desk.ticket, NOW));
    let refused = [a, b].into_iter().filter_map(Result::err).collect::<Vec<_>>();
    assert!(matches!(refused[..], [AgentError::TicketUsed]), "{refused:?}");
    assert!(matches!(open(&desk.ticket, NOW).await, Err(AgentError::TicketUsed)));
    for wrong in ["", &"0".repeat(64), desk.access.session.key.to_string().as_str()] {
        assert!(matches!(open(wrong, NOW).await, Err(AgentError::TicketWrong)), "{wrong}");
    }
    town.untouched("U-1", 6).await;
    // The exchange has as much time again, from when it was opened.
    let confirm = async |now| town.ra.agent_confirm(Some(&desk.certificate), desk.renewal, &desk.digits, now).await;
    assert!(matches!(confirm(late).await, Err(AgentError::Over)));
    confirm(late - Duration::MILLISECOND).await.unwrap();
    let late = town.by_agent_at(&desk, &key(), HARDWARE, late).await;
    assert!(matches!(late, Err(AgentError::Over)), "{late:?}");
}

#[tokio::test]
async fn tickets_cookies_and_other_secrets_are_not_taken_for_each_other() {
    let town = Town::new().await;
    let desk = town.desk("U-1").await;
    let signed_in = town.sign_in("U-1", &desk.certificate, NOW).await;
    let program = town.ra.renewal_ticket(&signed_in.access, NOW).await.unwrap();
    for other in [&signed_in.token, &program.token] {
        let refused = town.ra.agent_open(Some(&desk.certificate), other.reveal(), NOW).await;
        assert!(matches!(refused, Err(AgentError::TicketWrong)), "{refused:?}");
    }
    let token = koshin_ra::SessionToken::parse(&desk.ticket).unwrap();
    assert!(matches!(town.ra.session(&token, Some(&desk.certificate), NOW).await, Err(SessionError::None)));
    assert!(matches!(town.ra.enrolment_session(&token, NOW).await, Err(SessionError::None)));
    assert!(matches!(town.ra.agent_open_enrolment(&desk.ticket, NOW).await, Err(AgentError::TicketWrong)));
    let shown = Some(("U-1", desk.ticket.as_str()));
    town.ra.ticket_access(Some(&desk.certificate), shown, NOW).await.unwrap_err();
}

#[tokio::test]
async fn what_was_made_in_a_session_ends_with_it() {
    let town = Town::new().await;
    // Signed out before the ticket was opened; a new session does not revive it.
    let desk = town.desk("U-1").await;
    town.ra.sign_out(&desk.access, NOW).await.unwrap();
    town.sign_in("U-1", &desk.certificate, NOW).await;
    let swapped = town.ra.agent_open(Some(&desk.certificate), &desk.ticket, NOW).await;
    assert!(matches!(swapped, Err(AgentError::TicketWrong)), "{swapped:?}");
    // Between opening and digits, and between digits and request.
    for confirmed in [false, true] {
        let desk = town.at_desk(desk.certificate, desk.renewal).await;
        town.ra.agent_open(Some(&desk.certificate), &desk.ticket, NOW).await.unwrap();
        if confirmed {
            town.ra.agent_confirm(Some(&desk.certificate), desk.renewal, &desk.digits, NOW).await.unwrap();
        }
        town.ra.sign_out(&desk.access, NOW).await.unwrap();
        let over = town.ra.agent_confirm(Some(&desk.certificate), desk.renewal, &desk.digits, NOW).await;
        assert!(matches!(over, Err(AgentError::Over)), "{over:?}");
        let over = town.by_agent(&desk, &key(), HARDWARE).await;
        assert!(matches!(over, Err(AgentError::Over)), "{over:?}");
    }
    town.untouched("U-1", 5).await;
    // A changed password ends the session, and with it all of this.
    let desk = town.at_desk(desk.certificate, desk.renewal).await;
    town.confirmed(&desk).await;
    let id = "U-1".parse().unwrap();
    town.ra.administration().set_password(&id, "another password", &operator(), NOW).await.unwrap();
    assert!(matches!(town.by_agent(&desk, &key(), HARDWARE).await, Err(AgentError::Over)));
    town.untouched("U-1", 6).await;
}

#[tokio::test]
async fn three_wrong_digits_void_the_exchange_however_they_come() {
    let town = Town::new().await;
    let desk = town.desk("U-1").await;
    town.ra.agent_open(Some(&desk.certificate), &desk.ticket, NOW).await.unwrap();
    let wrong = format!("{:04}", (desk.digits.parse::<u32>().unwrap() + 1) % 10_000);
    let confirm = async |digits: &str| town.ra.agent_confirm(Some(&desk.certificate), desk.renewal, digits, NOW).await;
    let (a, b) = tokio::join!(confirm(&wrong), confirm(&wrong));
    let mut left: Vec<_> = [a, b].map(|refused| refused.unwrap_err().to_string()).into();
    left.sort();
    assert_eq!(left, ["the digits are wrong; 1 tries are left", "the digits are wrong; 2 tries are left"]);
    assert!(matches!(confirm("").await, Err(AgentError::CodeExhausted)));
    assert!(matches!(confirm(&desk.digits).await, Err(AgentError::CodeExhausted)), "now they are right, and too late");
    assert!(matches!(town.by_agent(&desk, &key(), HARDWARE).await, Err(AgentError::CodeExhausted)));
    town.untouched("U-1", 5).await;
    // The holder begins again in the page, in the same renewal.
    let stage = async || town.ra.agent_stage(&desk.renewal, NOW).await.unwrap();
    assert_eq!(stage().await, AgentStage::Exhausted);
    let again = town.at_desk(desk.certificate, desk.renewal).await;
    assert_eq!(stage().await, AgentStage::Waiting);
    assert!(matches!(confirm(&again.digits).await, Err(AgentError::Over)), "until the new ticket is opened");
    town.confirmed(&again).await;
    town.by_agent(&again, &key(), HARDWARE).await.unwrap();
}

#[tokio::test]
async fn the_last_ticket_counts() {
    let town = Town::new().await;
    let first = town.desk("U-1").await;
    let second = town.at_desk(first.certificate, first.renewal).await;
    town.ra.agent_open(Some(&first.certificate), &first.ticket, NOW).await.unwrap();
    town.ra.agent_open(Some(&second.certificate), &second.ticket, NOW).await.unwrap();
    if first.digits != second.digits {
        let old = town.ra.agent_confirm(Some(&first.certificate), first.renewal, &first.digits, NOW).await;
        assert!(matches!(old, Err(AgentError::CodeWrong { left: 2 })), "{old:?}");
    }
    town.ra.agent_confirm(Some(&second.certificate), second.renewal, &second.digits, NOW).await.unwrap();
}

#[tokio::test]
async fn an_accepted_key_needs_no_exchange_and_no_other_key_is_taken() {
    let town = Town::new().await;
    let desk = town.desk("U-1").await;
    town.confirmed(&desk).await;
    let csr = key();
    let bundle = town.by_agent(&desk, &csr, HARDWARE).await.unwrap();
    let other = town.by_agent(&desk, &key(), HARDWARE).await;
    let other_key = |result: &Result<Bundle, AgentError>| {
        matches!(
            result,
            Err(AgentError::Change(ChangeError::Refused(Refused::OtherKey { .. }))
                | AgentError::Issuance(IssuanceError::Change(ChangeError::Refused(Refused::OtherKey { .. }))))
        )
    };
    assert!(other_key(&other), "{other:?}");
    // A day later everything that was opened is over, and the agent that was killed goes on.
    let later = NOW + Duration::DAY;
    town.ra.sign_out(&desk.access, NOW).await.unwrap();
    assert_eq!(town.by_agent_at(&desk, &csr, ProtectionLevel::Os, later).await.unwrap(), bundle);
    assert!(other_key(&town.by_agent_at(&desk, &key(), HARDWARE, later).await));
    town.ra.agent_declined(Some(&desk.certificate), desk.renewal, Dialog::Install, later).await.unwrap();
    town.ra.agent_installed(Some(&desk.certificate), desk.renewal, later).await.unwrap();
    let holding = town.holding("U-1").await;
    let held = holding.certificate(&sha256(&bundle.certificate)).unwrap();
    assert_eq!((held.key.protection, holding.certificates.len()), (HARDWARE, 2), "what was claimed first stays");
}

#[tokio::test]
async fn with_the_page_and_the_agent_the_first_key_counts() {
    let town = Town::new().await;
    let desk = town.desk("U-1").await;
    town.confirmed(&desk).await;
    let page = key();
    town.request(&desk.access, desk.renewal, &page, NOW).await;
    let other = town.by_agent(&desk, &key(), HARDWARE).await;
    assert!(matches!(other, Err(AgentError::Change(ChangeError::Refused(Refused::OtherKey { .. })))), "{other:?}");
    let file = town.ra.subject(desk.access.id()).await.unwrap().unwrap();
    assert!(!town.ra.is_agents(&file).await.unwrap());
    let installed = town.ra.agent_installed(Some(&desk.certificate), desk.renewal, NOW).await;
    assert!(matches!(installed, Err(AgentError::NotConfirmed)), "the page's file is not the agent's to install");
    assert_eq!(town.holding("U-1").await.certificates.len(), 2);
}

#[tokio::test]
async fn no_is_recorded_and_the_renewal_goes_on() {
    let town = Town::new().await;
    let desk = town.desk("U-1").await;
    let (shown, id) = (Some(&desk.certificate), desk.renewal);
    assert!(matches!(town.ra.agent_declined(shown, id, Dialog::Key, NOW).await, Err(AgentError::Over)));
    town.confirmed(&desk).await;
    town.ra.agent_declined(shown, id, Dialog::Key, NOW).await.unwrap();
    assert_eq!(town.recorded("declined"), 1);
    town.untouched("U-1", 1).await;
    let bundle = town.by_agent(&desk, &key(), HARDWARE).await.unwrap();
    town.ra.agent_declined(shown, id, Dialog::Install, NOW).await.unwrap();
    assert_eq!(town.recorded("declined"), 2);
    assert_eq!(town.ra.agent_standing(shown, id, NOW).await.unwrap(), standing("issued", Some(&bundle)));
}

fn with(town: &Town, settings: Settings) -> Ra {
    let passwords = Passwords::new(&[9; 16]).unwrap();
    let (policy, gate) = (Arc::new(Policy::default_jst()), Arc::new(Gate::new()));
    let (store, ca) = (town.store.clone(), Arc::clone(&town.ca));
    Ra::new(store.clone(), store.clone(), store, ca, gate, policy, passwords, entropy, settings)
}

#[tokio::test]
async fn a_role_may_need_more_than_a_file() {
    let mut town = Town::new().await;
    let desk = town.desk("U-1").await;
    let minimum_protection = ByRole { administrator: ProtectionLevel::File, user: HARDWARE };
    town.ra = with(&town, Settings { minimum_protection, ..Settings::default() });
    let opened = town.ra.agent_open(Some(&desk.certificate), &desk.ticket, NOW).await.unwrap();
    assert_eq!(opened.minimum, HARDWARE);
    town.ra.agent_confirm(Some(&desk.certificate), desk.renewal, &desk.digits, NOW).await.unwrap();
    for claimed in [ProtectionLevel::File, ProtectionLevel::Os] {
        let low = town.by_agent(&desk, &key(), claimed).await;
        assert!(
            matches!(low, Err(AgentError::Protection { minimum: HARDWARE, claimed: c }) if c == claimed),
            "{low:?}"
        );
    }
    town.untouched("U-1", 2).await;
    let page = town.ra.request_certificate(&desk.access, desk.renewal, &key(), ProtectionLevel::File, NOW).await;
    assert!(matches!(page, Err(IssuanceError::Protection { minimum: HARDWARE, .. })), "{page:?}");
    let program = town.ra.request_by_program(&desk.access, desk.renewal, &key(), NOW).await;
    assert!(matches!(program, Err(IssuanceError::Protection { minimum: HARDWARE, .. })), "{program:?}");
    town.by_agent(&desk, &key(), HARDWARE).await.unwrap();
    // Administrators need no more than before.
    let admin = town.enrolled("A-1", enrolled_for(8)).await;
    let access = town.sign_in("A-1", &admin, NOW).await.access;
    let renewal = town.ra.start_renewal(&access, NOW).await.unwrap();
    town.request(&access, renewal, &key(), NOW).await;
}

#[tokio::test]
async fn a_role_may_be_without_agents_or_with_nothing_else() {
    let mut town = Town::new().await;
    let desk = town.desk("U-1").await;
    let agents = |user| ByRole { administrator: Agents::Offered, user };
    town.ra = with(&town, Settings { agents: agents(Agents::Off), ..Settings::default() });
    assert!(matches!(town.ra.agent_ticket(&desk.access, desk.renewal, NOW).await, Err(AgentError::Off)));
    let off = town.ra.agent_open(Some(&desk.certificate), &desk.ticket, NOW).await;
    assert!(matches!(off, Err(AgentError::Off)), "{off:?}");
    town.untouched("U-1", 1).await;
    town.ra = with(&town, Settings { agents: agents(Agents::Required), ..Settings::default() });
    let page = town.ra.request_certificate(&desk.access, desk.renewal, &key(), ProtectionLevel::File, NOW).await;
    assert!(matches!(page, Err(IssuanceError::AgentNeeded)), "{page:?}");
    town.untouched("U-1", 1).await;
    town.confirmed(&desk).await;
    town.by_agent(&desk, &key(), ProtectionLevel::File).await.unwrap();
}

#[tokio::test]
async fn while_the_ca_is_away_nothing_is_lost() {
    let town = Town::new().await;
    let desk = town.desk("U-1").await;
    town.confirmed(&desk).await;
    let csr = key();
    town.signer_down.store(true, Ordering::Release);
    for _ in 0..2 {
        let away = town.by_agent(&desk, &csr, HARDWARE).await;
        assert!(matches!(away, Err(AgentError::Issuance(IssuanceError::Issue(IssueError::Signer(_))))), "{away:?}");
    }
    assert_eq!(town.holding("U-1").await.certificates.len(), 1);
    let standing = town.ra.agent_standing(Some(&desk.certificate), desk.renewal, NOW).await.unwrap();
    assert_eq!(standing.state, "intended");
    town.signer_down.store(false, Ordering::Release);
    let later = NOW + Duration::hours(2);
    let bundle = town.by_agent_at(&desk, &csr, HARDWARE, later).await.unwrap();
    assert_eq!(Some(bundle.serial), standing.serial);
}

#[tokio::test]
async fn bad_requests_and_dead_certificates_get_nothing() {
    let town = Town::new().await;
    let desk = town.desk("U-1").await;
    town.confirmed(&desk).await;
    let mut broken = key();
    *broken.last_mut().unwrap() ^= 1;
    for bad in [&broken[..], b"", b"hello"] {
        let refused = town.by_agent(&desk, bad, HARDWARE).await;
        assert!(matches!(refused, Err(AgentError::Issuance(IssuanceError::Rejected(_)))), "{refused:?}");
    }
    town.untouched("U-1", 3).await;
    // A key that another renewal has seen.
    let csr = key();
    let other = town.desk("U-2").await;
    town.confirmed(&other).await;
    town.by_agent(&other, &csr, HARDWARE).await.unwrap();
    let seen = town.by_agent(&desk, &csr, HARDWARE).await;
    assert!(matches!(seen, Err(AgentError::Issuance(IssuanceError::Change(ChangeError::KeySeen { .. })))), "{seen:?}");
    town.untouched("U-1", 4).await;
    let id = "U-1".parse().unwrap();
    let _ = town.ra.administration().revoke(&id, RevocationReason::KeyCompromise, &operator(), NOW).await.unwrap();
    let dead = town.by_agent(&desk, &key(), HARDWARE).await;
    assert!(matches!(dead, Err(AgentError::Certificate(Admission::Revoked { .. }))), "{dead:?}");
    let dead = town.ra.agent_standing(Some(&desk.certificate), desk.renewal, NOW).await;
    assert!(matches!(dead, Err(AgentError::Certificate(Admission::Revoked { .. }))), "{dead:?}");
    town.untouched("U-1", 5).await;
}

#[tokio::test]
async fn wrong_tickets_are_slowed_down_and_no_sign_in_with_them() {
    let town = Town::new().await;
    let desk = town.desk("U-1").await;
    let open = async |ticket: &str, now| town.ra.agent_open(Some(&desk.certificate), ticket, now).await;
    for _ in 0..5 {
        assert!(matches!(open(&"f".repeat(64), NOW).await, Err(AgentError::TicketWrong)));
    }
    assert!(matches!(open(&desk.ticket, NOW).await, Err(AgentError::TooMany { .. })));
    town.sign_in("U-1", &desk.certificate, NOW).await;
    open(&desk.ticket, NOW + Duration::seconds(30)).await.unwrap();
}

#[tokio::test]
async fn started_again_ends_it_for_the_agent() {
    let town = Town::new().await;
    let desk = town.desk("U-1").await;
    town.confirmed(&desk).await;
    town.by_agent(&desk, &key(), HARDWARE).await.unwrap();
    let (next, _) = town.ra.start_again(&desk.access, desk.renewal, NOW).await.unwrap();
    let shown = Some(&desk.certificate);
    assert!(matches!(town.by_agent(&desk, &key(), HARDWARE).await, Err(AgentError::Ended { state: "abandoned" })));
    assert_eq!(town.ra.agent_standing(shown, desk.renewal, NOW).await.unwrap(), standing("abandoned", None));
    let confirm = town.ra.agent_confirm(shown, next, &desk.digits, NOW).await;
    assert!(matches!(confirm, Err(AgentError::Over)), "the exchange was about the other one: {confirm:?}");
}

#[tokio::test]
async fn an_enrolment_by_an_agent() {
    let town = Town::new().await;
    town.enrolled("U-1", enrolled_for(-3)).await;
    let page = town.ra.begin_enrolment("U-1", PASSWORD, NOW).await.unwrap();
    let ticket = town.ra.agent_enrolment_ticket(&page, NOW).await.unwrap();
    let exchange = town.ra.agent_open_enrolment(ticket.token.reveal(), NOW).await.unwrap();
    let replayed = town.ra.agent_open_enrolment(ticket.token.reveal(), NOW).await;
    assert!(matches!(replayed, Err(AgentError::TicketUsed)), "{replayed:?}");
    assert_eq!(town.recorded("agent_refused"), 1);
    assert_eq!(town.ra.followed_enrolment(&page, NOW).await.unwrap(), None);
    for left in (1..=4).rev() {
        let wrong = town.ra.agent_prove(&exchange, "00000000", NOW).await;
        assert!(matches!(wrong, Err(AgentError::CodeWrong { left: l }) if l == left), "{wrong:?}");
        if left == 3 {
            break;
        }
    }
    let proven = town.ra.agent_prove(&exchange, &town.code(), NOW).await.unwrap();
    assert_eq!(proven.access.id().as_str(), "U-1");
    let renewal = proven.renewal;
    assert_eq!(town.ra.followed_enrolment(&page, NOW).await.unwrap(), Some(renewal));
    // The page may be a thief's who knows the password: it learns how far the agent is, and can do nothing.
    assert!(matches!(town.ra.enrolment_session(&page, NOW).await, Err(SessionError::None)));
    let stolen = town.ra.agent_request_enrolment(&page, renewal, &key(), HARDWARE, NOW).await;
    assert!(matches!(stolen, Err(AgentError::Over)), "{stolen:?}");
    let csr = key();
    let request = async || town.ra.agent_request_enrolment(&proven.token, renewal, &csr, HARDWARE, NOW).await;
    let bundle = request().await.unwrap().0;
    assert_eq!(request().await.unwrap().0, bundle);
    town.ra.agent_installed_enrolment(&proven.token, renewal, NOW).await.unwrap();
    let found = town.ra.agent_standing_enrolment(&proven.token, renewal, NOW).await.unwrap();
    assert_eq!(found, standing("delivered", Some(&bundle)));
    let (serial, owed) = town.ra.activate(&sha256(&bundle.certificate), NOW).await.unwrap();
    assert_eq!((serial, owed.mail), (bundle.serial, true));
    // The exchange's first secret is good for the code alone.
    let early = town.ra.agent_request_enrolment(&exchange, renewal, &key(), HARDWARE, NOW).await;
    assert!(matches!(early, Err(AgentError::Over)), "{early:?}");
}

#[tokio::test]
async fn nobodys_enrolment_looks_like_somebodys() {
    let town = Town::new().await;
    town.enrolled("U-1", enrolled_for(-3)).await;
    for (id, password) in [("U-1", "wrong password"), ("U-99", PASSWORD)] {
        let page = town.ra.begin_enrolment(id, password, NOW).await.unwrap();
        let ticket = town.ra.agent_enrolment_ticket(&page, NOW).await.unwrap();
        let exchange = town.ra.agent_open_enrolment(ticket.token.reveal(), NOW).await.unwrap();
        let wrong = town.ra.agent_prove(&exchange, "12345678", NOW).await;
        assert!(matches!(wrong, Err(AgentError::CodeWrong { left: 4 })), "{wrong:?}");
        let again = town.ra.agent_enrolment_ticket(&page, NOW).await.unwrap();
        let late = NOW + Duration::minutes(10);
        let over = town.ra.agent_open_enrolment(again.token.reveal(), late).await;
        assert!(matches!(over, Err(AgentError::TicketWrong)), "{over:?}");
        assert!(matches!(town.ra.agent_prove(&exchange, "12345678", late).await, Err(AgentError::Over)));
    }
    // Five tickets in one session are free.
    let page = town.ra.begin_enrolment("U-1", PASSWORD, NOW).await.unwrap();
    for _ in 0..5 {
        town.ra.agent_enrolment_ticket(&page, NOW).await.unwrap();
    }
    assert!(matches!(town.ra.agent_enrolment_ticket(&page, NOW).await, Err(AgentError::TooMany { .. })));
}
