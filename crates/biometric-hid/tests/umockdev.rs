//! hidapi and this crate, on a system that has a palm sensor: umockdev puts one into sysfs and answers ioctls, and a pseudo-terminal in the
//! place of the hidraw device leads to the simulated sensor. The programs here run with umockdev's library loaded, each in a system of its own.

#![expect(clippy::expect_used, clippy::panic, reason = "tests fail by panicking")]

use std::env;
use std::fs::{self, File, Permissions};
use std::io::{Read, Write};
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use biometric::contract::{PalmStage, Person, palm_sensor};
use biometric::hid::{HidConnector, HidPalmSensor, HidTransport, ReconnectingSensor};
use biometric::{CaptureOutcome, PalmImage, PalmSensor, RetryReason, SensorError};
use biometric_hid::{Denial, HidapiConnector, SensorState, UsbId, diagnose};
use libtest_mimic::{Arguments, Failed, Trial};
use madoguchi_time::{Deadline, SharedClock, SystemClock};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt};
use rustix::termios::{OptionalActions, tcgetattr, tcsetattr};
use sim_palm_sensor::synth::Frames;
use sim_palm_sensor::uhid::report_descriptor;
use sim_palm_sensor::{Presentation, SimPalmControl, plug_in, trusted_by_tests};

/// Bytes of a report: as at full speed.
const REPORT: usize = 64;
/// Where umockdev keeps its files, in the environment of whoever runs under it.
const UMOCKDEV: &str = "UMOCKDEV_DIR";
const SERIAL: &str = "SIM-PALM-H";
const SENSOR: UsbId = UsbId { vendor: 0x1209, product: 0x0001 };
const NODE: &str = "/dev/hidraw0";
/// Where the sensor is in sysfs.
const HID: &str = "devices/pci0000:00/usb1/1-1/1-1:1.0/0003:1209:0001.0001";

/// What is run under umockdev: a name, the report descriptor of what is plugged in if anything is, and the program.
type Scene = (&'static str, Option<fn() -> Vec<u8>>, fn());

const SCENES: &[Scene] = &[
    ("nothing_is_plugged_in", None, nothing_is_plugged_in),
    ("a_keyboard_with_the_sensors_id_is_no_sensor", Some(keyboard), nothing_is_plugged_in),
    ("the_sensor_keeps_its_contract", Some(sensor), the_sensor_keeps_its_contract),
    ("waiting_ends_by_the_deadline_and_old_reports_are_thrown_away", Some(sensor), waiting_ends),
    ("a_line_that_breaks_is_no_unplugged_device", Some(sensor), a_broken_line_is_told_from_an_unplugged_device),
    ("a_denied_sensor_is_explained", Some(sensor), a_denied_sensor_is_explained),
];

fn main() {
    if env::var_os(UMOCKDEV).is_some() {
        let scene = env::args().nth(1).expect("a scene");
        let (.., run) = SCENES.iter().find(|(name, ..)| *name == scene).expect("a known scene");
        return run();
    }
    let trials = SCENES.iter().map(|scene| Trial::test(scene.0, move || under_umockdev(scene)));
    libtest_mimic::run(&Arguments::from_args(), trials.collect()).exit();
}

/// Starts this program again under umockdev.
fn under_umockdev((name, descriptor, _): &Scene) -> Result<(), Failed> {
    let files = tempfile::tempdir()?;
    // Without this capability not even root may open what nobody may, as the scene of the denied sensor wants it.
    let mut command = Command::new("setpriv");
    command.args(["--inh-caps=-dac_override,-dac_read_search", "--bounding-set=-dac_override,-dac_read_search", "--"]);
    if !rustix::process::geteuid().is_root() {
        command = Command::new("env");
    }
    command.arg("umockdev-run");
    if let Some(descriptor) = descriptor {
        let descriptor = descriptor();
        let (device, ioctl) = (files.path().join("palm.umockdev"), files.path().join("palm.ioctl"));
        let hex = |bytes: &[u8]| bytes.iter().map(|byte| format!("{byte:02X}")).collect::<String>();
        fs::write(&device, description(&hex(&descriptor)))?;
        let size = hex(&(descriptor.len() as u32).to_le_bytes());
        fs::write(&ioctl, format!("@DEV {NODE}\nHIDIOCGRDESCSIZE 0 {size}\n"))?;
        command.arg("-d").arg(device).arg("-i").arg(format!("{NODE}={}", ioctl.display()));
    }
    let output = command.arg("--").arg(env::current_exe()?).arg(name).output()?;
    if output.status.success() {
        return Ok(());
    }
    let told = [output.stdout, output.stderr].map(|told| String::from_utf8_lossy(&told).into_owned());
    Err(format!("{}: {}", output.status, told.concat()).into())
}

/// The device as umockdev reads it: the USB device, its interface, the HID device, the hidraw device.
fn description(descriptor: &str) -> String {
    format!(
        "P: /devices/pci0000:00/usb1/1-1\nE: DEVTYPE=usb_device\nE: SUBSYSTEM=usb\nA: idVendor=1209\nA: idProduct=0001\n\
         A: manufacturer=Madoguchi\nA: product=Palm sensor\nA: serial={SERIAL}\nA: bcdDevice=0100\n\n\
         P: /devices/pci0000:00/usb1/1-1/1-1:1.0\nE: DEVTYPE=usb_interface\nE: SUBSYSTEM=usb\nA: bInterfaceNumber=00\n\n\
         P: /{HID}\nE: SUBSYSTEM=hid\nE: HID_ID=0003:00001209:00000001\nE: HID_NAME=Madoguchi Palm sensor\n\
         E: HID_UNIQ={SERIAL}\nH: report_descriptor={descriptor}\n\n\
         P: /{HID}/hidraw/hidraw0\nN: hidraw0\nE: SUBSYSTEM=hidraw\nE: DEVNAME={NODE}\nE: MAJOR=240\nE: MINOR=0\n\
         L: device=../../../0003:1209:0001.0001\n"
    )
}

fn sensor() -> Vec<u8> {
    report_descriptor(REPORT)
}

/// One byte in, one byte out, usage page Generic Desktop.
fn keyboard() -> Vec<u8> {
    vec![0x05, 0x01, 0x09, 0x06, 0xA1, 0x01, 0x75, 0x08, 0x95, 0x08, 0x81, 0x02, 0x95, 0x01, 0x91, 0x02, 0xC0]
}

fn umockdev() -> PathBuf {
    env::var_os(UMOCKDEV).expect("this runs under umockdev").into()
}

fn connector(clock: &SharedClock) -> HidapiConnector {
    HidapiConnector::new(vec![SENSOR], clock.clone())
}

fn soon(clock: &SharedClock) -> Deadline {
    clock.deadline_in(Duration::from_secs(60))
}

fn nothing_is_plugged_in() {
    let clock = SystemClock::shared();
    let mut connector = connector(&clock);
    for _ in 0..2 {
        let refused = connector.connect().err();
        assert!(matches!(refused, Some(SensorError::Gone)), "{refused:?}");
    }
    assert_eq!(diagnose(&[SENSOR]).expect("an answer"), []);
}

/// A pseudo-terminal in the place of the hidraw device, with a simulated sensor at the other end.
struct Cable {
    control: SimPalmControl,
    stops: Arc<AtomicBool>,
    sensor: Option<JoinHandle<()>>,
}

/// The two ends of a new pseudo-terminal that passes on bytes as they are: what the sensor holds, and the node's name.
fn pseudo_terminal() -> (OwnedFd, PathBuf) {
    let master = openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY).expect("a pseudo-terminal");
    grantpt(&master).expect("granted");
    unlockpt(&master).expect("unlocked");
    let mut attributes = tcgetattr(&master).expect("attributes");
    attributes.make_raw();
    tcsetattr(&master, OptionalActions::Now, &attributes).expect("raw");
    let name = ptsname(&master, Vec::new()).expect("a name").into_string().expect("in ASCII");
    (master, name.into())
}

/// Puts `target` in the place of the node. Nobody sees a moment without one.
fn node_leads_to(target: &Path) {
    let node = umockdev().join("dev/hidraw0");
    let new = umockdev().join("dev/new");
    std::os::unix::fs::symlink(target, &new).expect("a link");
    fs::rename(new, node).expect("in its place");
}

impl Cable {
    fn plug_in(clock: &SharedClock) -> Self {
        let (_, control) = plug_in(clock.clone(), SERIAL, REPORT);
        let (master, name) = pseudo_terminal();
        node_leads_to(&name);
        let stops = Arc::new(AtomicBool::new(false));
        let sensor = {
            let (stops, control, clock) = (stops.clone(), control.clone(), clock.clone());
            // Held open, so that closing the device is no end of the line.
            let kept_open = File::options().read(true).write(true).open(&name).expect("the other end");
            thread::spawn(move || {
                be_the_sensor(File::from(master), &control, &clock, &stops);
                drop(kept_open);
            })
        };
        Self { control, stops, sensor: Some(sensor) }
    }

    /// Cuts the line, and leaves the device in sysfs.
    fn cut(&mut self) {
        self.stops.store(true, Ordering::Relaxed);
        if let Some(sensor) = self.sensor.take() {
            sensor.join().expect("no panic");
        }
    }

    /// As the kernel does it: out of sysfs, then the line ends.
    fn unplug(&mut self) {
        let sysfs = umockdev().join("sys");
        fs::remove_file(sysfs.join("class/hidraw/hidraw0")).expect("it was there");
        fs::remove_dir_all(sysfs.join(HID)).expect("it was there");
        self.cut();
    }
}

/// Passes reports on between the line and the simulated sensor.
fn be_the_sensor(mut line: File, control: &SimPalmControl, clock: &SharedClock, stops: &AtomicBool) {
    let mut handle = control.open().expect("it is plugged in");
    let mut pending = Vec::new();
    while !stops.load(Ordering::Relaxed) {
        while let Ok(Some(report)) = handle.read_report(clock.deadline_in(Duration::ZERO)) {
            line.write_all(&report).expect("taken");
        }
        let wait = handle.wakes_in().unwrap_or_default().clamp(Duration::from_millis(1), Duration::from_millis(10));
        let timeout = Timespec { tv_sec: 0, tv_nsec: wait.subsec_nanos().into() };
        let mut polled = [PollFd::from_borrowed_fd(line.as_fd(), PollFlags::IN)];
        if poll(&mut polled, Some(&timeout)).expect("polled") > 0 {
            let mut bytes = [0; 4_096];
            let length = line.read(&mut bytes).expect("bytes");
            pending.extend_from_slice(&bytes[..length]);
        }
        // hidapi writes the report's number first.
        while pending.len() > REPORT {
            let report: Vec<u8> = pending.drain(..=REPORT).collect();
            assert_eq!(report[0], 0, "reports of this device have no numbers");
            handle.write_report(&report[1..], clock.deadline_in(Duration::ZERO)).expect("it is plugged in");
        }
    }
}

/// Pictures that are made at once, so that nobody waits for them in real time; those of other numbers differ.
fn picture(number: u8) -> Presentation {
    let pixels = (0..PalmImage::PIXELS).map(|i| (i / PalmImage::WIDTH) as u8 / 2 + number).collect();
    let image = PalmImage::from_pixels(pixels).expect("as many pixels as a palm image has");
    Presentation::Frames(Frames { near_infrared: image.clone(), red: image })
}

struct Rig {
    clock: SharedClock,
    cable: Cable,
}

impl PalmStage for Rig {
    fn clock(&self) -> SharedClock {
        self.clock.clone()
    }

    fn tolerance(&self) -> Duration {
        Duration::from_secs(60)
    }

    fn present(&mut self, person: Person) {
        let number = 10 * person as u8;
        self.cable.control.queue([picture(number + 1)]);
        self.cable.control.rest(picture(number));
    }

    fn present_too_near_once(&mut self) {
        self.cable.control.queue([Presentation::Retry(RetryReason::TooNear)]);
    }

    fn remove_hand(&mut self) {
        self.cable.control.remove_hand();
    }

    fn unplug(&mut self) {
        self.cable.unplug();
    }
}

fn the_sensor_keeps_its_contract() {
    let clock = SystemClock::shared();
    let cable = Cable::plug_in(&clock);
    let [diagnosis] = &diagnose(&[SENSOR]).expect("an answer")[..] else { panic!("not one sensor") };
    assert_eq!(diagnosis.state, SensorState::Permitted);
    assert_eq!((diagnosis.sensor.node.as_path(), diagnosis.sensor.serial.as_str()), (Path::new(NODE), SERIAL));
    assert_eq!((diagnosis.sensor.id, diagnosis.sensor.report_size), (SENSOR, REPORT));

    let mut sensor =
        ReconnectingSensor::open(connector(&clock), trusted_by_tests(), clock.clone(), soon(&clock)).expect("a sensor");
    assert_eq!(sensor.identity().serial, SERIAL);
    palm_sensor(&mut Rig { clock, cable }, &mut sensor);
}

fn waiting_ends() {
    let clock = SystemClock::shared();
    let (master, name) = pseudo_terminal();
    node_leads_to(&name);
    let mut line = File::from(master);
    let mut transport = connector(&clock).connect().expect("a device");
    assert_eq!(transport.report_size(), REPORT);
    // Nothing comes: neither an error nor for ever.
    for wait in [0, 1, 40] {
        let wait = Duration::from_millis(wait);
        let began = clock.now();
        let read = transport.read_report(clock.deadline_in(wait));
        assert!(matches!(read, Ok(None)), "{read:?}");
        assert!(clock.now().since(began) >= wait);
    }
    // What somebody else was told before is thrown away, and INIT is the first thing that is said.
    line.write_all(&[0xAA; 3 * REPORT]).expect("taken");
    let opened = HidPalmSensor::open(transport, &trusted_by_tests(), clock.clone(), soon(&clock));
    assert!(matches!(opened, Err(SensorError::Timeout)), "nobody answers: {:?}", opened.err());
    let mut said = [0; 1 + REPORT];
    line.read_exact(&mut said).expect("a report");
    assert_eq!(said[..14], [0, 0xFF, 0xFF, 0xFF, 0xFF, 0x81, 0, 0, 0, 0, 8, 0, 1, said[13]]);
    let mut left = connector(&clock).connect().expect("a device");
    assert!(matches!(left.read_report(clock.deadline_in(Duration::ZERO)), Ok(None)), "old reports are still there");
}

fn a_broken_line_is_told_from_an_unplugged_device() {
    let clock = SystemClock::shared();
    let mut cable = Cable::plug_in(&clock);
    cable.control.rest(picture(1));
    let mut sensor =
        ReconnectingSensor::open(connector(&clock), trusted_by_tests(), clock.clone(), soon(&clock)).expect("a sensor");
    cable.cut();
    let failed = sensor.capture(soon(&clock), &mut |_| {});
    assert!(matches!(failed, Err(SensorError::Other(_))), "the device is still there: {failed:?}");
    // Plugged in anew, in the place where it was, it is opened anew.
    let cable = Cable::plug_in(&clock);
    cable.control.rest(picture(1));
    let mut sensor =
        ReconnectingSensor::open(connector(&clock), trusted_by_tests(), clock.clone(), soon(&clock)).expect("a sensor");
    let taken = sensor.capture(soon(&clock), &mut |_| {});
    assert!(matches!(&taken, Ok(CaptureOutcome::Image(_))), "{taken:?}");
}

fn a_denied_sensor_is_explained() {
    let clock = SystemClock::shared();
    let denied = umockdev().join("denied");
    fs::write(&denied, []).expect("a file");
    node_leads_to(&denied);
    for (mode, denial) in [(0o000, Denial::NoRule), (0o060, Denial::NotInGroup(rustix::process::getegid().as_raw()))] {
        fs::set_permissions(&denied, Permissions::from_mode(mode)).expect("a mode");
        let refused = connector(&clock).connect().err();
        assert!(matches!(refused, Some(SensorError::NotAuthorized)), "{mode:o}: {refused:?}");
        let [diagnosis] = &diagnose(&[SENSOR]).expect("an answer")[..] else { panic!("not one sensor") };
        assert_eq!(diagnosis.state, SensorState::Denied(denial), "{mode:o}");
    }
    // A node that has gone since it was listed.
    fs::remove_file(&denied).expect("it was there");
    let refused = connector(&clock).connect().err();
    assert!(matches!(refused, Some(SensorError::Gone)), "{refused:?}");
}
