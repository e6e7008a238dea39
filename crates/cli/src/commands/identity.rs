//! `identity enrol|renew|show`: the terminal's own certificates.

use std::fs;
use std::io;
use std::path::Path;
use std::sync::Arc;

use ::hsm::{Hsm, KeyCustody};
use authority_link::SharedSecret;
use der::pem::PemLabel;
use orchestrator::identity::{self, AuthorityFiles, Fetched, IdentityError, OwnCertificates, OwnStatus};
use orchestrator::{ProcedureError, StateFolder};
use serde::Serialize;
use x509_cert::Certificate;

use super::announce;
use crate::arguments::Identity;
use crate::composition::{Composition, Site};
use crate::context::Context;
use crate::failure::Failure;
use crate::messages::Messages;
use crate::report::Report;
use crate::screen::{Entry, Mark, Screen};
use crate::summary::in_japan;

/// The authority's certificates as `madoguchi-authority` lays them into a terminal's folder, in the order of [`AuthorityFiles`].
const AUTHORITY_FILES: [&str; 5] =
    ["infrastructure-ca.pem", "tls.pem", "cmp.pem", "signature-ca.pem", "authentication-ca.pem"];

pub(super) fn run(
    command: Identity,
    composition: &impl Composition,
    context: &Context,
) -> Result<Box<dyn Report>, Failure> {
    let site = Site::load(composition, context)?;
    match command {
        Identity::Show => {
            let certificates = identity::status(&*composition.state(&site.folder)?, site.clock.wall())?;
            Ok(Box::new(Shown { ok: true, certificates }))
        }
        Identity::Renew { due } => {
            announce("heading-identity-renew", composition, context)?;
            let new = at_desk(composition, &site, |desk| desk.renew(!due))?;
            Ok(Box::new(Fresh { ok: true, certificates: new }))
        }
        Identity::Enrol { reference, secret, authority } => {
            announce("heading-identity-enrol", composition, context)?;
            if let Some(folder) = &authority {
                let files = read_authority(folder)?;
                files.save(&mut *composition.state(&site.folder)?)?;
            }
            let prompt = context.messages().text("identity-secret", &[("reference", reference.as_str().into())]);
            let mut failed = None;
            let new = at_desk(composition, &site, |desk| {
                desk.enrol(&mut || match secret.read(&prompt) {
                    Ok(read) => Ok(SharedSecret::new(&reference, read)),
                    Err(failure) => {
                        failed = Some(failure);
                        Err(IdentityError::NotEnrolled)
                    }
                })
            });
            match failed {
                Some(failure) => Err(failure),
                None => Ok(Box::new(Fresh { ok: true, certificates: new? })),
            }
        }
    }
}

/// Renews what is due, at a moment when no procedure runs. If it can't be done now it is done another time: `doctor` tells.
pub(super) fn renew_due(composition: &impl Composition, context: &Context) {
    let renewed = Site::load(composition, context).and_then(|site| {
        let own = identity::status(&*composition.state(&site.folder)?, site.clock.wall())?;
        if own.iter().any(|own| own.due || own.under_way) {
            at_desk(composition, &site, |desk| desk.renew(false))
        } else {
            Ok(Vec::new())
        }
    });
    match renewed {
        Ok(renewed) => {
            renewed.iter().for_each(|own| tracing::info!(own.purpose, "the terminal's certificate was renewed"))
        }
        Err(error) => tracing::warn!(%error, "the terminal's certificates were not renewed"),
    }
}

/// Opens what fetching certificates works with.
fn at_desk<T>(
    composition: &impl Composition,
    site: &Site,
    work: impl FnOnce(&mut OwnCertificates<'_>) -> Result<T, IdentityError>,
) -> Result<T, Failure> {
    let mut state: Box<dyn StateFolder> = composition.state(&site.folder)?;
    let custody: Option<Arc<dyn KeyCustody>> = composition.key_custody(site).ok();
    let hsm: Arc<dyn Hsm> = match &custody {
        Some(custody) => Arc::clone(custody) as Arc<dyn Hsm>,
        None => composition.hsm(site)?,
    };
    let open = |client| match composition.line_as(site, client, &hsm) {
        Ok(line) => Ok(line),
        Err(Failure::Procedure(error)) => Err(error.into()),
        Err(other) => Err(IdentityError::Line(Box::new(other))),
    };
    let mut random = composition.random();
    let mut desk = OwnCertificates {
        state: &mut *state,
        hsm: &*hsm,
        custody: custody.as_deref(),
        clock: Arc::clone(&site.clock),
        random: &mut *random,
        open: &open,
    };
    Ok(work(&mut desk).map_err(ProcedureError::from)?)
}

fn read_authority(folder: &Path) -> Result<AuthorityFiles, Failure> {
    let read = |name: &str| {
        let path = folder.join(name);
        let unreadable = |source: Box<dyn std::error::Error + Send + Sync>| Failure::Own {
            key: "error-authority-files",
            args: vec![("path", path.display().to_string().into())],
            source: Some(source),
        };
        let pem = fs::read(&path).map_err(|error| unreadable(error.into()))?;
        let (label, der) = der::pem::decode_vec(&pem).map_err(|error| unreadable(error.to_string().into()))?;
        Certificate::validate_pem_label(label).map_err(|error| unreadable(error.to_string().into()))?;
        Ok::<_, Failure>(der)
    };
    let [anchor, tls, cmp, signature, authentication] = AUTHORITY_FILES;
    Ok(AuthorityFiles {
        infrastructure_ca: read(anchor)?,
        line_server: read(tls)?,
        messages: read(cmp)?,
        signature_ca: read(signature)?,
        authentication_ca: read(authentication)?,
    })
}

/// What was fetched.
#[derive(Debug, Serialize)]
struct Fresh {
    ok: bool,
    certificates: Vec<Fetched>,
}

impl Report for Fresh {
    fn succeeded(&self) -> bool {
        self.ok
    }

    fn show(&self, screen: &mut Screen, messages: &Messages) -> io::Result<()> {
        if self.certificates.is_empty() {
            return screen.text(0, &messages.get("identity-nothing-due"));
        }
        for own in &self.certificates {
            let args = [("day", in_japan(own.not_after).date().to_string().into()), ("key", own.key.as_str().into())];
            let text = messages.text("identity-in-use", &args);
            screen.entry(Mark::Done, &Entry::new(messages.get(label(own.purpose)), [text]))?;
        }
        Ok(())
    }
}

/// The certificates in use.
#[derive(Debug, Serialize)]
struct Shown {
    ok: bool,
    certificates: Vec<OwnStatus>,
}

impl Report for Shown {
    fn succeeded(&self) -> bool {
        self.ok
    }

    fn show(&self, screen: &mut Screen, messages: &Messages) -> io::Result<()> {
        if self.certificates.is_empty() {
            return screen.text(0, &messages.get("identity-none"));
        }
        for own in &self.certificates {
            let mark = if own.expired { Mark::Failed } else { Mark::Done };
            screen.entry(mark, &Entry::new(messages.get(label(own.purpose)), remarks(messages, own)))?;
        }
        Ok(())
    }
}

/// What is to be said of one of them.
pub(super) fn remarks(messages: &Messages, own: &OwnStatus) -> Vec<String> {
    let args = [("day", in_japan(own.not_after).date().to_string().into())];
    let validity = if own.expired { "identity-expired" } else { "identity-valid" };
    let due = (own.due && !own.expired).then(|| messages.get("identity-due"));
    let under_way = own.under_way.then(|| messages.get("identity-under-way"));
    [Some(messages.text(validity, &args)), due, under_way].into_iter().flatten().collect()
}

/// The key of what a certificate is for.
pub(super) fn label(purpose: &str) -> &'static str {
    if purpose == "line" { "identity-line" } else { "identity-messages" }
}
