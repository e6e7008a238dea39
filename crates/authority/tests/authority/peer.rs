//! OpenSSL as the other end: as a CMP client, as an OCSP client, as a reader of certificates and CRLs.

use std::fs;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::time::Duration;

use authority::{Config, TerminalRegistration};
use authority_link::{Answer, Confirmation, MEDIA_TYPE, PATH, Request};
use der::Document;
use der::pem::LineEnding;
use jiff::Timestamp;
use jpki::CertificateKind::{self, Authentication, Signature};
use jpki::validity::japanese_day;

use crate::fixtures::{CardKey, Issued, World, application, municipality};
use crate::served::{Served, http};

/// What the resident's request says, in OpenSSL's configuration language. `UTF8` inside certificates, as always.
const NAMES: &str = "
[names]
subjectAltName = @items
[items]
otherName.1 = 1.2.392.200149.8.5.5.1;FORMAT:UTF8,UTF8:黒桐　幹也
otherName.2 = 1.2.392.200149.8.5.5.4;UTF8:319800217
otherName.3 = 1.2.392.200149.8.5.5.3;UTF8:1
otherName.4 = 1.2.392.200149.8.5.5.5;FORMAT:UTF8,UTF8:東京都清瀬市観布子南１２－７－２０２
otherName.5 = 1.2.392.200149.8.5.5.2;UTF8:00000
otherName.6 = 1.2.392.200149.8.5.5.6;UTF8:000000000000000000
";

/// OpenSSL with its files, before an authority whose clock shows the real time.
struct Peer {
    dir: tempfile::TempDir,
    world: World,
    served: Served,
}

pub(crate) fn openssl(dir: &Path, arguments: &[&str]) -> Output {
    let output = Command::new("openssl").args(arguments).current_dir(dir).env("OPENSSL_CONF", "/dev/null").output();
    output.expect("openssl is installed")
}

/// Runs it and expects success; what it said.
pub(crate) fn succeed(dir: &Path, arguments: &[&str]) -> String {
    let output = openssl(dir, arguments);
    let said = said(&output);
    assert!(output.status.success(), "openssl {arguments:?}: {said}");
    said
}

pub(crate) fn said(output: &Output) -> String {
    [&output.stdout[..], &output.stderr].map(String::from_utf8_lossy).concat()
}

fn public_key(dir: &Path, name: &str) -> Vec<u8> {
    succeed(
        dir,
        &["pkey", "-in", &format!("{name}.key"), "-pubout", "-outform", "DER", "-out", &format!("{name}.spki")],
    );
    fs::read(dir.join(format!("{name}.spki"))).unwrap()
}

impl Peer {
    fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path();
        for name in ["signing", "tls"] {
            let file = format!("{name}.key");
            succeed(path, &["genpkey", "-algorithm", "EC", "-pkeyopt", "ec_paramgen_curve:P-256", "-out", &file]);
        }
        let registration = TerminalRegistration {
            name: "openssl".to_owned(),
            window: "13221003A".to_owned(),
            municipality: municipality(),
            signing_key: public_key(path, "signing"),
            tls_key: public_key(path, "tls"),
            log_key: None,
            test_peer: true,
        };
        let config = Config { plain_http_cmp: true, ..Config::default() };
        let world = World::with_peer(&config, Timestamp::now(), Some(registration));
        let credentials = world.peer.clone().unwrap();
        let certificates = &world.certificates;
        for (name, certificate) in [
            ("signing", &credentials.signing_certificate),
            ("tls", &credentials.tls_certificate),
            ("cmp", &certificates.cmp),
            ("infrastructure", &certificates.infrastructure_ca),
            ("signature-ca", &certificates.signature_ca),
            ("authentication-ca", &certificates.authentication_ca),
        ] {
            write_pem(&path.join(format!("{name}.pem")), certificate);
        }
        fs::write(path.join("names.cnf"), NAMES).unwrap();
        let served = Served::new(&world);
        Self { dir, world, served }
    }

    fn path(&self) -> &Path {
        self.dir.path()
    }

    /// `openssl cmp` over plain HTTP.
    fn cmp(&self, arguments: &[&str]) -> Output {
        let server = self.served.at.http.to_string();
        let common = [
            "cmp",
            "-config",
            "names.cnf",
            "-server",
            &server,
            "-path",
            PATH,
            "-cert",
            "signing.pem",
            "-key",
            "signing.key",
        ];
        openssl(self.path(), &[&common[..], &["-srvcert", "cmp.pem"], arguments].concat())
    }

    /// The arguments of an ir of a kind for the key `name`, whose certificate goes to `name.pem`.
    fn ir(&self, kind: CertificateKind, name: &str) -> Vec<String> {
        succeed(
            self.path(),
            &["genpkey", "-algorithm", "RSA", "-pkeyopt", "rsa_keygen_bits:2048", "-out", &format!("{name}.key")],
        );
        let (unit, subject) = match kind {
            Signature => ("JPKI for digital signature", format!("/C=JP/CN={}", self.request_name())),
            Authentication => ("JPKI for user authentication", "/C=JP".to_owned()),
        };
        let issuer = format!("/C=JP/O=JPKI-SIM/OU={unit}/OU=Madoguchi Simulated Authority");
        let (key, certificate) = (format!("{name}.key"), format!("{name}.pem"));
        [
            "-cmd",
            "ir",
            "-newkey",
            &key,
            "-certout",
            &certificate,
            "-issuer",
            &issuer,
            "-subject",
            &subject,
            "-reqexts",
            "names",
        ]
        .map(str::to_owned)
        .to_vec()
    }

    fn request_name(&self) -> String {
        let counter = &self.world.counters[0];
        let name = counter.request_name_at(self.world.now(), 134);
        name.replace(&counter.window, "13221003A")
    }

    /// A whole exchange by OpenSSL: ir, ip, certConf, pkiConf.
    fn certify(&self, kind: CertificateKind, name: &str, more: &[&str]) -> Vec<u8> {
        let arguments = self.ir(kind, name);
        let arguments: Vec<&str> = arguments.iter().map(String::as_str).chain(more.iter().copied()).collect();
        let output = self.cmp(&arguments);
        assert!(output.status.success(), "{}", said(&output));
        self.der(name)
    }

    fn der(&self, name: &str) -> Vec<u8> {
        succeed(
            self.path(),
            &["x509", "-in", &format!("{name}.pem"), "-outform", "DER", "-out", &format!("{name}.der")],
        );
        fs::read(self.path().join(format!("{name}.der"))).unwrap()
    }

    fn revoke(&self, name: &str, reason: &str) -> Output {
        self.cmp(&["-cmd", "rr", "-oldcert", &format!("{name}.pem"), "-revreason", reason])
    }

    /// What `openssl ocsp` says of a certificate; it has verified the answer and its nonce.
    fn ocsp(&self, ca: &str, name: &str) -> String {
        let url = format!("http://{}/ocsp", self.served.at.http);
        let (ca, certificate) = (format!("{ca}.pem"), format!("{name}.pem"));
        // The authority's clock may be ahead of OpenSSL's by what the test has advanced it.
        let ahead = ["-validity_period", "4000"];
        let arguments = ["ocsp", "-issuer", &ca, "-cert", &certificate, "-url", &url, "-CAfile", &ca];
        let said = succeed(self.path(), &[&arguments[..], &ahead].concat());
        assert!(said.contains("Response verify OK") && !said.contains("no nonce"), "{said}");
        let line = said.lines().find_map(|line| line.strip_prefix(&format!("{certificate}: ")));
        line.expect("a status").to_owned()
    }
}

pub(crate) fn write_pem(path: &Path, certificate: &[u8]) {
    let document = Document::try_from(certificate).unwrap();
    fs::write(path, document.to_pem("CERTIFICATE", LineEnding::LF).unwrap()).unwrap();
}

fn fetch_crl(at: SocketAddr, dir: &Path, kind: &str) -> PathBuf {
    let (status, list) = http(at, "GET", &format!("/crl/{kind}/13221"), "", b"");
    assert_eq!(status, 200);
    let path = dir.join(format!("{kind}.crl"));
    fs::write(&path, list).unwrap();
    path
}

#[test]
fn peer_openssl_gets_certificates_of_both_kinds_and_reads_them() {
    let peer = Peer::new();
    peer.certify(Signature, "sign", &[]);
    peer.certify(Authentication, "auth", &[]);
    let text = succeed(peer.path(), &["x509", "-in", "sign.pem", "-noout", "-text", "-nameopt", "utf8,sep_comma_plus"]);
    for expected in [
        "Issuer: C=JP,O=JPKI-SIM,OU=JPKI for digital signature,OU=Madoguchi Simulated Authority".to_owned(),
        format!("Subject: C=JP,L=Tokyo-to,L=Kiyose-shi,CN={}", peer.request_name()),
        "Digital Signature, Non Repudiation".to_owned(),
        "othername: 1.2.392.200149.8.5.5.1::黒桐　幹也, othername: 1.2.392.200149.8.5.5.4::319800217".to_owned(),
        "Policy: 1.2.392.200149.8.5.1.0.20".to_owned(),
        "DirName:C = JP, O = JPKI-SIM, OU = JPKI for digital signature, OU = CRL Distribution Points, OU = Tokyo-to, CN = Kiyose-shi CRLDP".to_owned(),
    ] {
        assert!(text.contains(&expected), "{expected}\n{text}");
    }
    let text = succeed(peer.path(), &["x509", "-in", "auth.pem", "-noout", "-text"]);
    assert!(text.contains("TLS Web Client Authentication") && text.contains("OCSP - URI:http://127.0.0.1:18080/ocsp"));
    for (ca, name) in [("signature-ca", "sign"), ("authentication-ca", "auth")] {
        let arguments = ["verify", "-x509_strict", "-CAfile", &format!("{ca}.pem"), &format!("{name}.pem")];
        assert!(succeed(peer.path(), &arguments).contains("OK"));
    }
}

#[test]
fn peer_openssl_asks_for_a_certificates_state_through_its_life() {
    let peer = Peer::new();
    let ca = "authentication-ca";
    peer.certify(Authentication, "unconfirmed", &["-disable_confirm"]);
    assert_eq!(peer.ocsp(ca, "unconfirmed"), "unknown");
    peer.certify(Authentication, "good", &[]);
    assert_eq!(peer.ocsp(ca, "good"), "good");
    let verify = |crl: &Path| {
        let crl = crl.to_str().unwrap();
        let arguments = ["verify", "-CAfile", "authentication-ca.pem", "-crl_check", "-CRLfile", crl, "good.pem"];
        openssl(peer.path(), &arguments)
    };
    let before = fetch_crl(peer.served.at.http, peer.path(), "authentication");
    let output = verify(&before);
    assert!(output.status.success(), "{}", said(&output));

    let output = peer.revoke("good", "1");
    assert!(output.status.success(), "{}", said(&output));
    assert_eq!(peer.ocsp(ca, "good"), "revoked");
    let output = peer.revoke("good", "1");
    assert!(!output.status.success() && said(&output).contains("certRevoked"), "{}", said(&output));

    let after = fetch_crl(peer.served.at.http, peer.path(), "authentication");
    assert!(said(&verify(&after)).contains("certificate revoked"));
    let after = after.to_str().unwrap();
    let arguments = ["crl", "-inform", "DER", "-in", after, "-noout", "-text", "-CAfile", "authentication-ca.pem"];
    let text = succeed(peer.path(), &arguments);
    for expected in [
        "verify OK",
        "X509v3 Issuing Distribution Point: critical",
        "CN = Kiyose-shi CRLDP",
        "Only User Certificates",
        "Key Compromise",
        "X509v3 CRL Number",
    ] {
        assert!(text.contains(expected), "{expected}\n{text}");
    }
    assert_eq!(text.matches("Serial Number:").count(), 1);

    // What nobody confirms is revoked after a time.
    peer.world.clock.advance(Duration::from_secs(3_600));
    peer.world.authority.expire_unconfirmed(peer.world.now()).unwrap();
    assert_eq!(peer.ocsp(ca, "unconfirmed"), "revoked");
}

#[test]
fn peer_openssl_repeats_its_bytes_and_gets_the_same_answers() {
    let peer = Peer::new();
    let saved = ["-reqout", "ir.req,conf.req", "-rspout", "ip.rsp,pkiconf.rsp"];
    let first = peer.certify(Authentication, "card", &saved);
    let repeat = |request: &str, answer: &str| {
        let request = fs::read(peer.path().join(request)).unwrap();
        let (status, again) = http(peer.served.at.http, "POST", PATH, MEDIA_TYPE, &request);
        assert_eq!((status, again), (200, fs::read(peer.path().join(answer)).unwrap()));
    };
    repeat("ir.req", "ip.rsp");
    repeat("conf.req", "pkiconf.rsp");
    // OpenSSL itself sends its files again, and takes the old answers.
    fs::remove_file(peer.path().join("card.pem")).unwrap();
    let arguments = ["-cmd", "ir", "-newkey", "card.key", "-subject", "/C=JP", "-certout", "card.pem"];
    let output = peer.cmp(&[&arguments[..], &["-reqin", "ir.req,conf.req"]].concat());
    assert!(output.status.success(), "{}", said(&output));
    assert_eq!(peer.der("card"), first);
    // Half an hour later, when its messageTime is long past.
    peer.world.clock.advance(Duration::from_secs(1_800));
    repeat("ir.req", "ip.rsp");
}

#[test]
fn peer_openssl_supersedes_what_a_confirmed_successor_replaces() {
    let peer = Peer::new();
    let world = &peer.world;
    let old = peer.certify(Authentication, "old", &[]);
    let old = Issued::new(world.transaction(), &old, None);
    let output = peer.revoke("old", "4");
    assert!(!output.status.success() && said(&output).contains("badRequest"), "{}", said(&output));

    // A terminal of ours renews: OpenSSL's ir has no way to name a predecessor.
    let counter = &world.counters[0];
    let mut today = application();
    today.applied_on = japanese_day(world.now());
    let transaction = world.transaction();
    let request = world.certification_of(counter, Authentication, &CardKey::rsa(), Some(&old.name), &today);
    let Answer::Issued { certificate, nonce, .. } = world.ask(counter, request, transaction) else {
        panic!("not issued")
    };
    let new = Issued::new(transaction, &certificate, nonce);
    write_pem(&peer.path().join("new.pem"), &new.certificate);
    assert!(!peer.revoke("old", "4").status.success(), "the successor is not confirmed");
    let confirm = Request::Confirm(Confirmation::implying_sha256(new.sha256));
    assert_eq!(world.ask(counter, confirm, transaction), Answer::Confirmed);
    assert_eq!(peer.ocsp("authentication-ca", "old"), "good");
    for _ in 0..2 {
        let output = peer.revoke("old", "4");
        assert!(output.status.success(), "{}", said(&output));
    }
    assert_eq!(peer.ocsp("authentication-ca", "old"), "revoked");
    assert_eq!(peer.ocsp("authentication-ca", "new"), "good");
}

#[test]
fn peer_openssl_is_refused_for_what_it_can_not_show() {
    let peer = Peer::new();
    let run = |kind, name: &str, more: &[&str]| {
        let arguments = peer.ir(kind, name);
        let arguments: Vec<&str> = arguments.iter().map(String::as_str).chain(more.iter().copied()).collect();
        let output = peer.cmp(&arguments);
        assert!(!output.status.success(), "{more:?}");
        said(&output)
    };
    assert!(run(Authentication, "a", &["-popo", "-1"]).contains("badPOP"));
    assert!(run(Authentication, "b", &["-popo", "0"]).contains("badPOP"));
    assert!(run(Authentication, "c", &["-days", "400"]).contains("badRequest"));
    assert!(run(Authentication, "d", &["-subject", "/C=JP/CN=another"]).contains("badCertTemplate"));
    assert!(
        run(Authentication, "e", &["-issuer", "/C=JP/O=JPKI/OU=JPKI for user authentication"])
            .contains("wrongAuthority")
    );
    assert!(run(Signature, "f", &["-subject", "/C=JP/CN=123"]).contains("badCertTemplate"));
    assert!(run(Authentication, "g", &["-cmd", "cr"]).contains("badRequest"));
    // Refused by OpenSSL, because its own key did not sign: it says so in its certConf, and the authority revokes.
    assert!(run(Authentication, "h", &["-out_trusted", "signature-ca.pem"]).contains("not accepted"));
    let counts = peer.world.authority.store().counts().unwrap();
    assert_eq!(counts, [(Authentication, authority::store::State::Revoked, 1)]);
}

#[test]
fn peer_openssl_speaks_over_mutual_tls() {
    let peer = Peer::new();
    let server = peer.served.at.cmp.to_string();
    let run = |more: &[&str]| {
        let arguments = peer.ir(Authentication, "card");
        let common = [
            "cmp",
            "-config",
            "names.cnf",
            "-server",
            &server,
            "-path",
            PATH,
            "-cert",
            "signing.pem",
            "-key",
            "signing.key",
        ];
        let tls = ["-srvcert", "cmp.pem", "-tls_used", "-tls_trusted", "infrastructure.pem", "-tls_host", "127.0.0.1"];
        let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
        openssl(peer.path(), &[&common[..], &tls[..], more, &arguments].concat())
    };
    let output = run(&["-tls_cert", "tls.pem", "-tls_key", "tls.key"]);
    assert!(output.status.success(), "{}", said(&output));
    assert_eq!(peer.ocsp("authentication-ca", "card"), "good");
    assert!(!run(&[]).status.success(), "no certificate");
    let output = run(&["-tls_cert", "signing.pem", "-tls_key", "signing.key"]);
    assert!(!output.status.success(), "a certificate of another purpose");
}
