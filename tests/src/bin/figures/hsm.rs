//! Keys in a token: signatures through the adapter against the module alone and against OpenSSL, and how soon there are signatures
//! again when a token that was away is back.

use std::fmt;
use std::hint::black_box;
use std::path::PathBuf;
use std::process::Command;
use std::thread;
use std::time::{Duration, Instant};

use cryptoki::context::{CInitializeArgs, CInitializeFlags, Pkcs11};
use cryptoki::mechanism::Mechanism;
use cryptoki::object::{Attribute, ObjectClass, ObjectHandle};
use cryptoki::session::{Session, UserType};
use hsm::{Hsm, KeyKind, KeyName, SignatureAlgorithm};
use hsm_pkcs11::{Pin, Pkcs11Hsm, TokenSelector};
use madoguchi_time::{Deadline, SystemClock};
use private_softhsm2::relay::Relay;
use private_softhsm2::{CONFIGURATION, Home};
use rustix::time::{ClockId, clock_gettime};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha384};

use crate::Figures;

/// The part of this program that uses SoftHSM2: it has to be started with the way to its tokens.
pub(crate) const COMMAND: &str = "with-tokens";
const TOKEN: &str = "figures";
const PIN: &str = "user-1234";
/// How often the module alone and the adapter take turns.
const TURNS: u32 = 12;
/// Signatures in one turn.
const SIGNATURES: u32 = 60;
/// How often the token goes away and comes back.
const RETURNS: usize = 25;
const MESSAGE: &[u8] = b"what is signed does not matter";

#[derive(Serialize, Deserialize)]
pub(crate) struct Tokens {
    signatures: Vec<Signatures>,
    recovery: Recovery,
}

/// Rates are signatures per second of processor time, of all threads together.
#[derive(Serialize, Deserialize)]
struct Signatures {
    algorithm: String,
    adapter: f64,
    /// One session, one key that was found before, nothing else.
    module: f64,
    /// The same, and the key is found anew every time, as the adapter does it.
    module_searching: f64,
    /// None without `openssl`.
    openssl: Option<f64>,
    adapter_to_module: f64,
    adapter_to_searching: f64,
    adapter_to_openssl: Option<f64>,
    /// The adapter under two threads against the adapter under one: rates, and elapsed times.
    two_threads: f64,
    two_threads_elapsed: f64,
}

/// From the moment when the token is there again to the first signature.
#[derive(Serialize, Deserialize)]
struct Recovery {
    returns: usize,
    adapter: Times,
    /// A program that begins then: it initialises the module, logs in, finds the key, signs.
    module: Times,
    ratio: f64,
}

#[derive(Serialize, Deserialize)]
struct Times {
    median_ms: f64,
    max_ms: f64,
}

impl Figures for Tokens {
    const TITLE: &'static str = "Keys in a token (SoftHSM2)";
    const METHOD: &'static str = "signatures per second of processor time, all threads together; the module alone and the adapter in turn, \
        in one process; the module: a loop of C_SignInit and C_Sign on one session with a key that was found before; searching: the \
        key is found anew every time, as the adapter does it; OpenSSL: `openssl speed`; recovery: elapsed time to the first P-256 \
        signature through p11-kit's remoting, the start of its server included, of the adapter, which finds a dead line and mends \
        it, and of a program that begins then";
}

pub(crate) fn take() -> Tokens {
    let home = Home::new();
    home.token(TOKEN, PIN);
    let program = std::env::current_exe().expect("a path");
    let measured = home.command(program).arg(COMMAND).output().expect("started");
    assert!(measured.status.success(), "{}", String::from_utf8_lossy(&measured.stderr));
    serde_json::from_slice(&measured.stdout).expect("figures")
}

/// Measures, and prints the figures for [`take`].
pub(crate) fn measure() {
    let hsm = open(private_softhsm2::module());
    let kinds = [
        (KeyKind::Rsa2048, SignatureAlgorithm::RsaPkcs1Sha256, "RSA-2048", "rsa2048"),
        (KeyKind::EcP384, SignatureAlgorithm::EcdsaP384Sha384, "P-384", "ecdsap384"),
    ];
    let signatures = kinds.map(|(kind, algorithm, name, peer)| {
        let key = KeyName::new(format!("figures-{peer}"));
        hsm.generate(&key, kind, soon()).expect("made").expect("as it was to be");
        Signatures::take(&hsm, &key, algorithm, name, peer)
    });
    let key = KeyName::new("figures-p256");
    hsm.generate(&key, KeyKind::EcP256, soon()).expect("made").expect("as it was to be");
    drop(hsm);
    let tokens = Tokens { signatures: signatures.into(), recovery: Recovery::take(&key) };
    println!("{}", serde_json::to_string(&tokens).expect("a document"));
}

impl Signatures {
    fn take(hsm: &Pkcs11Hsm, key: &KeyName, algorithm: SignatureAlgorithm, name: &str, peer: &str) -> Self {
        let context = Pkcs11::new(private_softhsm2::module()).expect("SoftHSM2");
        // The adapter has initialised it, and logged in for the whole process.
        let _ = context.initialize(CInitializeArgs::new(CInitializeFlags::OS_LOCKING_OK));
        let session = context.open_rw_session(slot(&context)).expect("a session");
        let handle = private_key(&session, key);
        let alone = || match algorithm {
            SignatureAlgorithm::RsaPkcs1Sha256 => session.sign(&Mechanism::Sha256RsaPkcs, handle, MESSAGE),
            _ => session.sign(&Mechanism::Ecdsa, handle, &Sha384::digest(MESSAGE)),
        };
        let searching = || {
            black_box(private_key(&session, key));
            alone().expect("a signature")
        };
        let adapter = || hsm.sign(key, algorithm, MESSAGE, soon()).expect("a signature");
        let [mut of_module, mut of_searching, mut of_adapter, mut of_two] = <[Spent; 4]>::default();
        for _ in 0..TURNS {
            spend(&mut of_module, || repeat(SIGNATURES, || alone().expect("a signature")));
            spend(&mut of_searching, || repeat(SIGNATURES, searching));
            spend(&mut of_adapter, || repeat(SIGNATURES, adapter));
            spend(&mut of_two, || {
                thread::scope(|scope| {
                    let other = scope.spawn(|| repeat(SIGNATURES / 2, adapter));
                    repeat(SIGNATURES / 2, adapter);
                    other.join().expect("signed");
                });
            });
        }
        let openssl = openssl(peer);
        let rate = |spent: &Spent| f64::from(TURNS * SIGNATURES) / spent.processor.as_secs_f64();
        Self {
            algorithm: name.into(),
            adapter: rate(&of_adapter),
            module: rate(&of_module),
            module_searching: rate(&of_searching),
            openssl,
            adapter_to_module: rate(&of_adapter) / rate(&of_module),
            adapter_to_searching: rate(&of_adapter) / rate(&of_searching),
            adapter_to_openssl: openssl.map(|peer| rate(&of_adapter) / peer),
            two_threads: rate(&of_two) / rate(&of_adapter),
            two_threads_elapsed: of_adapter.shortest.as_secs_f64() / of_two.shortest.as_secs_f64(),
        }
    }
}

impl Recovery {
    fn take(key: &KeyName) -> Self {
        let configuration = PathBuf::from(std::env::var_os(CONFIGURATION).expect("the way to the tokens"));
        let relay = Relay::start(configuration.parent().expect("in a folder"));
        let back = |sign: &mut dyn FnMut()| {
            relay.away(true);
            relay.away(false);
            let begun = Instant::now();
            sign();
            begun.elapsed()
        };
        let begin = || {
            let context = Pkcs11::new(private_softhsm2::client()).expect("p11-kit's client");
            context.initialize(CInitializeArgs::new(CInitializeFlags::OS_LOCKING_OK)).expect("initialised");
            let session = context.open_rw_session(slot(&context)).expect("a session");
            session.login(UserType::User, Some(&Pin::from(PIN))).expect("logged in");
            let handle = private_key(&session, key);
            black_box(session.sign(&Mechanism::Ecdsa, handle, &[0x5a; 32]).expect("a signature"));
            drop(session);
            context.finalize().expect("finalised");
        };
        let module = Times::of((0..RETURNS).map(|_| back(&mut || begin())));
        let hsm = open(private_softhsm2::client());
        let adapter = Times::of((0..RETURNS).map(|_| {
            back(&mut || {
                let signed = hsm.sign(key, SignatureAlgorithm::EcdsaP256Sha256, MESSAGE, soon());
                black_box(signed.expect("a signature"));
            })
        }));
        let ratio = adapter.median_ms / module.median_ms;
        Self { returns: RETURNS, adapter, module, ratio }
    }
}

impl Times {
    fn of(times: impl Iterator<Item = Duration>) -> Self {
        let mut times: Vec<f64> = times.map(|time| time.as_secs_f64() * 1e3).collect();
        times.sort_by(f64::total_cmp);
        Self { median_ms: times[times.len() / 2], max_ms: times[times.len() - 1] }
    }
}

/// What several turns took.
#[derive(Default)]
struct Spent {
    processor: Duration,
    /// The fastest turn by the clock: what else the machine does only adds.
    shortest: Duration,
}

fn spend(spent: &mut Spent, work: impl FnOnce()) {
    let processor = || Duration::try_from(clock_gettime(ClockId::ProcessCPUTime)).expect("a time since it began");
    let (before, begun) = (processor(), Instant::now());
    work();
    spent.processor += processor() - before;
    let elapsed = begun.elapsed();
    spent.shortest = if spent.shortest.is_zero() { elapsed } else { spent.shortest.min(elapsed) };
}

fn repeat<T>(times: u32, work: impl Fn() -> T) {
    for _ in 0..times {
        black_box(work());
    }
}

fn open(module: PathBuf) -> Pkcs11Hsm {
    let selector = TokenSelector { module, label: Some(TOKEN.into()), ..TokenSelector::default() };
    Pkcs11Hsm::open(selector, Pin::from(PIN), SystemClock::shared()).expect("a token")
}

fn soon() -> Deadline {
    SystemClock::shared().deadline_in(Duration::from_secs(60))
}

fn slot(context: &Pkcs11) -> cryptoki::slot::Slot {
    let slots = context.get_slots_with_token().expect("slots");
    let ours = |slot: &_| context.get_token_info(*slot).is_ok_and(|info| info.label() == TOKEN);
    slots.into_iter().find(ours).expect("the token")
}

fn private_key(session: &Session, key: &KeyName) -> ObjectHandle {
    let template = [Attribute::Class(ObjectClass::PRIVATE_KEY), Attribute::Label(key.as_str().into())];
    session.find_objects(&template).expect("objects")[0]
}

/// Signatures per second of OpenSSL's processor time.
fn openssl(algorithm: &str) -> Option<f64> {
    let output = Command::new("openssl").args(["speed", "-mr", "-seconds", "1", algorithm]).output().ok()?;
    let text = String::from_utf8(output.stdout).ok()?;
    // `+F2:<number>:<bits>:<signatures per second>:<verifications per second>`, for ECDSA `+F4:…`
    let line = text.lines().find(|line| line.starts_with("+F2:") || line.starts_with("+F4:"))?;
    line.split(':').nth(3)?.parse().ok()
}

impl fmt::Display for Tokens {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for of in &self.signatures {
            let Signatures { algorithm, adapter, module, module_searching, .. } = of;
            writeln!(f, "  {algorithm:<9} adapter            {adapter:6.0} /s")?;
            writeln!(f, "            module             {module:6.0} /s   adapter {:.2} ×", of.adapter_to_module)?;
            writeln!(
                f,
                "            module, searching  {module_searching:6.0} /s   adapter {:.2} ×",
                of.adapter_to_searching
            )?;
            if let (Some(openssl), Some(ratio)) = (of.openssl, of.adapter_to_openssl) {
                writeln!(f, "            OpenSSL            {openssl:6.0} /s   adapter {ratio:.2} ×")?;
            }
            writeln!(
                f,
                "            two threads        {:.2} × the rate of one, {:.2} × as fast by the clock",
                of.two_threads, of.two_threads_elapsed
            )?;
        }
        let Recovery { returns, adapter, module, ratio } = &self.recovery;
        writeln!(f, "  recovery, {returns} times")?;
        writeln!(f, "            adapter            {:6.0} ms, at most {:.0} ms", adapter.median_ms, adapter.max_ms)?;
        writeln!(
            f,
            "            a new program      {:6.0} ms, at most {:.0} ms   adapter {ratio:.2} ×",
            module.median_ms, module.max_ms
        )
    }
}
