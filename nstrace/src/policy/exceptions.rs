//! Exceptions: findings that somebody has looked at and accepts, for a time. They are told all the same, as suppressed.

use std::collections::BTreeSet;

use jiff::{civil::Date, tz::TimeZone};
use serde::Deserialize;
use toml::{Spanned, value::Datetime};

use super::{fault::Fault, source::Source};
use crate::{
    container::{ContainerFacts, Seat},
    detect::{Finding, Grant, Severity},
    ns::NsType,
};

/// `[[exception]]` as it is written.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub(super) struct Written {
    rule: Spanned<String>,
    reason: Spanned<String>,
    expires: Spanned<Datetime>,
    owner: Option<String>,
    container: Option<Spanned<String>>,
    image: Option<Spanned<String>>,
    image_digest: Option<Spanned<String>>,
    pod: Option<Spanned<String>>,
    kubernetes_namespace: Option<Spanned<String>>,
    service_account: Option<Spanned<String>>,
    unit: Option<Spanned<String>>,
    namespace_types: Option<Spanned<Vec<String>>>,
    severity_at_most: Option<Severity>,
    posture: Option<Spanned<Vec<String>>>,
}

/// Who a finding is about. All that is given must be so.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Who {
    /// Name of the outermost container, its id, or the first 12 digits or more of one with 64.
    pub container: Option<String>,
    pub image: Option<String>,
    pub image_digest: Option<String>,
    /// Name or uid.
    pub pod: Option<String>,
    pub kubernetes_namespace: Option<String>,
    pub service_account: Option<String>,
    /// systemd.unit(5).
    pub unit: Option<String>,
}

/// One exception.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Exception {
    pub rule: String,
    pub reason: String,
    pub owner: Option<String>,
    /// It matches before this UTC day begins.
    pub expires: Date,
    pub who: Who,
    /// Of the namespace that the finding is about; empty: any, or none.
    pub namespace_types: Vec<NsType>,
    pub severity_at_most: Option<Severity>,
    /// What the container has to have of the host.
    pub posture: BTreeSet<Grant>,
    /// UTC, nanoseconds.
    until: i64,
    /// Where it is written.
    pub place: Fault,
}

/// What is known of who a finding is about.
#[derive(Clone, Copy, Debug, Default)]
pub struct Standing<'a> {
    pub seat: Option<&'a Seat>,
    /// Of the outermost container.
    pub facts: Option<&'a ContainerFacts>,
    /// None: it is in no container that was sealed.
    pub granted: Option<&'a BTreeSet<Grant>>,
}

/// Whether an exception covers a finding.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cover {
    Yes,
    No,
    /// Everything else is as it says, but this key asks for what nobody told.
    Unknown(&'static str),
}

/// Bytes of one value.
const LONGEST: usize = 1024;

impl Exception {
    pub(super) fn read(source: &Source, written: Written, faults: &mut Vec<Fault>) -> Option<Self> {
        let before = faults.len();
        let place = |byte, message| Fault::at(&source.name, &source.text, byte, message);
        let rule_at = written.rule.span().start;
        let reason_at = written.reason.span().start;
        let expires_at = written.expires.span().start;
        let mut take = |value: Option<Spanned<String>>| {
            let value = value?;
            if value.get_ref().trim().is_empty() || value.get_ref().len() > LONGEST {
                faults
                    .push(place(value.span().start, format!("this has 1 to {LONGEST} bytes: write whom it is about")));
            }
            Some(value.into_inner())
        };
        let who = Who {
            container: take(written.container),
            image: take(written.image),
            image_digest: take(written.image_digest),
            pod: take(written.pod),
            kubernetes_namespace: take(written.kubernetes_namespace),
            service_account: take(written.service_account),
            unit: take(written.unit),
        };
        let reason = take(Some(written.reason)).unwrap_or_default();
        if reason.trim().is_empty() {
            faults.push(place(reason_at, "an exception says why it is one: write a reason".to_owned()));
        }
        let namespace_types = names(source, written.namespace_types, faults);
        let posture = names(source, written.posture, faults);
        let (day, until) = match date(*written.expires.get_ref()) {
            Some(expires) => expires,
            None => {
                faults.push(place(expires_at, "this is no day: write it like 2027-03-31, without a time".to_owned()));
                (Date::ZERO, 0)
            }
        };
        let is_narrow = who != Who::default()
            || !namespace_types.is_empty()
            || !posture.is_empty()
            || written.severity_at_most.is_some();
        if !is_narrow {
            let message = "it covers everybody and everything: say for whom (container, image, image-digest, pod, \
                           kubernetes-namespace, service-account, unit) or what (namespace-types, severity-at-most, posture)";
            faults.push(place(rule_at, message.to_owned()));
        }
        let exception = Self {
            rule: written.rule.into_inner(),
            reason,
            owner: written.owner,
            expires: day,
            who,
            namespace_types,
            severity_at_most: written.severity_at_most,
            posture: posture.into_iter().collect(),
            until,
            place: place(rule_at, String::new()),
        };
        (faults.len() == before).then_some(exception)
    }

    /// It matches nothing any more at this UTC time, nanoseconds.
    pub fn is_expired(&self, utc_ns: i64) -> bool {
        utc_ns >= self.until
    }

    /// Expired or not.
    pub fn covers(&self, finding: &Finding, standing: &Standing<'_>) -> Cover {
        let fits = finding.rule == self.rule
            && self.severity_at_most.is_none_or(|most| finding.severity <= most)
            && (self.namespace_types.is_empty()
                || finding.ns.is_some_and(|ns| self.namespace_types.contains(&ns.name.ns_type)))
            && (self.posture.is_empty() || standing.granted.is_some_and(|granted| self.posture.is_subset(granted)));
        if fits { self.who.is(standing) } else { Cover::No }
    }

    /// It covers nothing that the other does not, for as long.
    pub fn is_within(&self, other: &Self) -> bool {
        let part = |ours: &Option<String>, theirs: &Option<String>| theirs.is_none() || ours == theirs;
        let (ours, theirs) = (&self.who, &other.who);
        self.rule == other.rule
            && self.until <= other.until
            && part(&ours.container, &theirs.container)
            && part(&ours.image, &theirs.image)
            && part(&ours.image_digest, &theirs.image_digest)
            && part(&ours.pod, &theirs.pod)
            && part(&ours.kubernetes_namespace, &theirs.kubernetes_namespace)
            && part(&ours.service_account, &theirs.service_account)
            && part(&ours.unit, &theirs.unit)
            && (other.namespace_types.is_empty()
                || (!self.namespace_types.is_empty()
                    && self.namespace_types.iter().all(|one| other.namespace_types.contains(one))))
            && other.severity_at_most.is_none_or(|most| self.severity_at_most.is_some_and(|ours| ours <= most))
            && other.posture.is_subset(&self.posture)
    }
}

impl Who {
    /// A container may be given by its name, a pod too.
    pub(super) fn asks_engines(&self) -> bool {
        let Self { container, image, image_digest, pod, kubernetes_namespace, service_account, unit: _ } = self;
        [container, image, image_digest, pod, kubernetes_namespace, service_account].iter().any(|key| key.is_some())
    }

    fn is(&self, standing: &Standing<'_>) -> Cover {
        let (seat, facts) = (standing.seat, standing.facts);
        let id = seat.and_then(|seat| seat.container.as_deref());
        let is_unit = |unit: &String| seat.and_then(|seat| seat.unit.as_ref()) == Some(unit);
        if !self.unit.as_ref().is_none_or(is_unit) {
            return Cover::No;
        }
        let told = |wanted: &Option<String>, is: Option<&String>| match (wanted, is) {
            (None, _) => Some(true),
            (Some(wanted), Some(is)) => Some(wanted == is),
            (Some(_), None) => None,
        };
        let is_id = |wanted: &str| id.is_some_and(|id| id == wanted || is_short(wanted, id));
        let container = match &self.container {
            Some(wanted) if is_id(wanted) => Some(true),
            wanted => told(wanted, facts.and_then(|facts| facts.name.as_ref())),
        };
        let uid = seat.and_then(|seat| seat.pod.as_ref());
        let pod = match &self.pod {
            Some(wanted) if uid == Some(wanted) => Some(true),
            wanted => told(wanted, facts.and_then(|facts| facts.pod.as_ref())),
        };
        let all = [
            ("container", container),
            ("pod", pod),
            ("image", told(&self.image, facts.and_then(|facts| facts.image.as_ref()))),
            ("image-digest", told(&self.image_digest, facts.and_then(|facts| facts.image_digest.as_ref()))),
            (
                "kubernetes-namespace",
                told(&self.kubernetes_namespace, facts.and_then(|facts| facts.kubernetes_namespace.as_ref())),
            ),
            ("service-account", told(&self.service_account, facts.and_then(|facts| facts.service_account.as_ref()))),
        ];
        if all.iter().any(|(_, is)| *is == Some(false)) {
            return Cover::No;
        }
        match all.iter().find(|(_, is)| is.is_none()) {
            // Who is in no container has none of these: nothing is unknown about it.
            Some(_) if id.is_none() => Cover::No,
            Some((key, _)) => Cover::Unknown(key),
            None => Cover::Yes,
        }
    }
}

/// `wanted` is the beginning of a long id, and long enough to be of one only.
fn is_short(wanted: &str, id: &str) -> bool {
    id.len() == 64 && wanted.len() >= 12 && id.bytes().all(|b| b.is_ascii_hexdigit()) && id.starts_with(wanted)
}

fn names<T: std::str::FromStr>(
    source: &Source,
    written: Option<Spanned<Vec<String>>>,
    faults: &mut Vec<Fault>,
) -> Vec<T>
where
    T::Err: std::fmt::Display,
{
    let Some(written) = written else { return Vec::new() };
    let at = written.span().start;
    let mut all = Vec::new();
    for name in written.get_ref() {
        match name.parse::<T>() {
            Ok(one) => all.push(one),
            Err(error) => faults.push(Fault::at(&source.name, &source.text, at, error.to_string())),
        }
    }
    if written.get_ref().is_empty() {
        let message = "an empty list covers nothing: name something, or leave the key out".to_owned();
        faults.push(Fault::at(&source.name, &source.text, at, message));
    }
    all
}

/// The day, and its begin in UTC nanoseconds.
fn date(written: Datetime) -> Option<(Date, i64)> {
    let Datetime { date: Some(date), time: None, offset: None } = written else { return None };
    let day =
        Date::new(i16::try_from(date.year).ok()?, i8::try_from(date.month).ok()?, i8::try_from(date.day).ok()?).ok()?;
    let begin = day.to_zoned(TimeZone::UTC).ok()?.timestamp().as_nanosecond();
    Some((day, i64::try_from(begin).unwrap_or(i64::MAX)))
}
