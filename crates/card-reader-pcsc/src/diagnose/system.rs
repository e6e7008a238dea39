//! The system around the service: processes, USB devices, files. Read from `/proc` and `/sys`; what may not be read is not
//! known.

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use card_reader::diagnosis::{Finding, Holder, HolderKind, ReaderState};

/// The service's own program.
const SERVICE: &str = "pcscd";
/// GnuPG's program for cards.
const GNUPG: &str = "scdaemon";
/// Kernel drivers that take contactless readers for NFC devices.
const KERNEL_DRIVERS: [&str; 3] = ["pn533_usb", "port100", "nfcmrvl_usb"];
/// USB device class "Smart Card" (USB-IF, "Smart Card CCID" 1.1 §4.3).
const SMART_CARD_CLASS: &str = "0b";

/// The files of a system.
pub(super) struct System {
    root: PathBuf,
    /// This process is nobody's holder.
    own_pid: u32,
}

impl System {
    pub(super) fn of_this_machine() -> Self {
        Self::at(Path::new("/"))
    }

    pub(super) fn at(root: &Path) -> Self {
        Self { root: root.to_owned(), own_pid: std::process::id() }
    }

    fn exists(&self, path: &str) -> bool {
        self.root.join(path).exists()
    }

    /// Is pcscd installed?
    pub(super) fn has_service(&self) -> bool {
        ["usr/sbin/pcscd", "usr/bin/pcscd", "usr/local/sbin/pcscd"].iter().any(|path| self.exists(path))
    }

    /// Does the service ask polkit?
    pub(super) fn has_polkit_rule(&self) -> bool {
        self.exists("usr/share/polkit-1/actions/org.debian.pcsc-lite.policy")
    }

    /// The group whose members may use this file.
    pub(super) fn group_of(&self, path: &Path) -> Option<String> {
        const GROUP_MAY_WRITE: u32 = 0o020;
        let metadata = fs::metadata(path).ok().filter(|metadata| metadata.mode() & GROUP_MAY_WRITE != 0)?;
        let groups = fs::read_to_string(self.root.join("etc/group")).ok()?;
        // Name, password, number, members.
        groups.lines().find_map(|line| {
            let mut fields = line.split(':');
            let name = fields.next()?;
            (fields.nth(1)?.parse() == Ok(metadata.gid())).then(|| name.to_owned())
        })
    }

    /// A program that uses the service: GnuPG's, which is known for it, else any.
    pub(super) fn client(&self) -> Holder {
        let processes = self.processes();
        // What another user's process has loaded may not be known.
        let gnupg = |process: &&Process| process.name == GNUPG && process.uses_service() != Some(false);
        if let Some(process) = processes.iter().find(gnupg) {
            return process.holding(HolderKind::GnuPg);
        }
        match processes.iter().find(|process| process.uses_service() == Some(true)) {
            Some(process) => process.holding(HolderKind::Client),
            None => Holder { kind: HolderKind::Client, program: None, pid: None },
        }
    }

    /// Readers on USB that the service can't see, as something else has them. If it sees none at all, then all that are plugged
    /// in, whoever has them.
    pub(super) fn unseen_devices(&self, sees_readers: bool) -> Vec<Finding> {
        let mut found = Vec::new();
        for interface in self.usb_interfaces() {
            let state = if let Some(driver) = interface.driver.filter(|name| KERNEL_DRIVERS.contains(&name.as_str())) {
                ReaderState::Held(Holder { kind: HolderKind::Kernel, program: Some(driver), pid: None })
            } else if interface.class != SMART_CARD_CLASS {
                continue;
            } else if let Some(process) = self.user_of(&interface.node) {
                let kind = if process.name == GNUPG { HolderKind::GnuPg } else { HolderKind::Usb };
                ReaderState::Held(process.holding(kind))
            } else if sees_readers {
                continue;
            } else {
                ReaderState::Failed
            };
            let finding = Finding::Reader { name: interface.name, state };
            if !found.contains(&finding) {
                found.push(finding);
            }
        }
        found
    }

    /// The process, other than the service, that has this device open.
    fn user_of(&self, node: &Path) -> Option<Process> {
        self.processes().into_iter().find(|process| process.name != SERVICE && process.has_open(node))
    }

    fn processes(&self) -> Vec<Process> {
        let mut processes: Vec<Process> = entries(&self.root.join("proc"))
            .filter_map(|folder| {
                let pid = folder.file_name()?.to_str()?.parse().ok()?;
                let name = read(&folder.join("comm"))?;
                (pid != self.own_pid).then_some(Process { pid, name, folder })
            })
            .collect();
        processes.sort_by_key(|process| process.pid);
        processes
    }

    fn usb_interfaces(&self) -> Vec<UsbInterface> {
        let mut interfaces: Vec<UsbInterface> = entries(&self.root.join("sys/bus/usb/devices"))
            .filter_map(|folder| {
                // "1-4.2:1.0" is an interface of the device "1-4.2".
                let (device, _) = folder.file_name()?.to_str()?.split_once(':')?;
                let device = folder.with_file_name(device);
                let [bus, number] = ["busnum", "devnum"].map(|file| read(&device.join(file))?.parse::<u32>().ok());
                let texts = ["manufacturer", "product"].map(|file| read(&device.join(file)));
                let texts: Vec<String> = texts.into_iter().flatten().collect();
                let driver = fs::read_link(folder.join("driver")).ok();
                Some(UsbInterface {
                    name: texts.join(" "),
                    class: read(&folder.join("bInterfaceClass"))?,
                    driver: driver.and_then(|path| Some(path.file_name()?.to_str()?.to_owned())),
                    node: PathBuf::from(format!("/dev/bus/usb/{:03}/{:03}", bus?, number?)),
                })
            })
            .collect();
        interfaces.sort_by(|a, b| a.node.cmp(&b.node));
        interfaces
    }
}

struct Process {
    pid: u32,
    name: String,
    folder: PathBuf,
}

impl Process {
    fn holding(&self, kind: HolderKind) -> Holder {
        Holder { kind, program: Some(self.name.clone()), pid: Some(self.pid) }
    }

    /// Is the service's library loaded? `None` if that may not be known.
    fn uses_service(&self) -> Option<bool> {
        let maps = fs::read(self.folder.join("maps")).ok()?;
        Some(self.name != SERVICE && String::from_utf8_lossy(&maps).contains("/libpcsclite"))
    }

    fn has_open(&self, node: &Path) -> bool {
        entries(&self.folder.join("fd")).any(|link| fs::read_link(link).is_ok_and(|target| target == node))
    }
}

struct UsbInterface {
    /// What the device says of itself.
    name: String,
    class: String,
    driver: Option<String>,
    /// Its device node.
    node: PathBuf,
}

fn entries(folder: &Path) -> impl Iterator<Item = PathBuf> {
    fs::read_dir(folder).into_iter().flatten().flatten().map(|entry| entry.path())
}

/// A file of one line.
fn read(file: &Path) -> Option<String> {
    Some(fs::read_to_string(file).ok()?.trim_end().to_owned())
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::{PermissionsExt, symlink};

    use super::*;

    /// A system in a folder.
    struct Model(tempfile::TempDir);

    impl Model {
        fn new() -> Self {
            Self(tempfile::tempdir().expect("a folder"))
        }

        fn file(&self, path: &str, content: &str) -> &Self {
            let path = self.0.path().join(path);
            fs::create_dir_all(path.parent().expect("a folder")).expect("made");
            fs::write(path, content).expect("written");
            self
        }

        fn link(&self, path: &str, target: &str) -> &Self {
            let path = self.0.path().join(path);
            fs::create_dir_all(path.parent().expect("a folder")).expect("made");
            symlink(target, path).expect("linked");
            self
        }

        fn device(&self, name: &str, number: u32, product: &str, class: &str, driver: Option<&str>) -> &Self {
            let device = format!("sys/bus/usb/devices/{name}");
            self.file(&format!("{device}/busnum"), "1\n");
            self.file(&format!("{device}/devnum"), &format!("{number}\n"));
            self.file(&format!("{device}/product"), &format!("{product}\n"));
            self.file(&format!("{device}:1.0/bInterfaceClass"), &format!("{class}\n"));
            if let Some(driver) = driver {
                self.link(&format!("{device}:1.0/driver"), &format!("../../../../bus/usb/drivers/{driver}"));
            }
            self
        }

        fn system(&self) -> System {
            System::at(self.0.path())
        }
    }

    fn held(finding: &Finding) -> (&str, HolderKind, Option<&str>) {
        match finding {
            Finding::Reader { name, state: ReaderState::Held(holder) } => {
                (name, holder.kind, holder.program.as_deref())
            }
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn the_program_that_holds_a_card_is_found() {
        const LIBRARY: &str = "7f00-7f01 r-xp 00000000 08:01 77 /usr/lib/x86_64-linux-gnu/libpcsclite.so.1.0.0\n";
        let model = Model::new();
        assert_eq!(model.system().client(), Holder { kind: HolderKind::Client, program: None, pid: None });
        model.file("proc/7/comm", "pcscd\n").file("proc/7/maps", LIBRARY);
        model.file("proc/90/comm", "bash\n").file("proc/90/maps", "");
        model.file("proc/91/comm", "etax-client\n").file("proc/91/maps", LIBRARY);
        model.file(&format!("proc/{}/comm", std::process::id()), "doctor\n");
        let client = Holder { kind: HolderKind::Client, program: Some("etax-client".into()), pid: Some(91) };
        assert_eq!(model.system().client(), client);
        model.file("proc/119/comm", "scdaemon\n").file("proc/119/maps", "");
        assert_eq!(model.system().client(), client, "a scdaemon with a driver of its own");
        model.file("proc/120/comm", "scdaemon\n");
        let gnupg = Holder { kind: HolderKind::GnuPg, program: Some("scdaemon".into()), pid: Some(120) };
        assert_eq!(model.system().client(), gnupg);
    }

    #[test]
    fn devices_that_the_service_does_not_see_are_found() {
        let model = Model::new();
        model.device("1-1", 3, "RC-S380/P", "ff", Some("port100"));
        model.device("1-2", 4, "SCR 3310", "0b", Some("usbfs"));
        model.device("1-3", 5, "Keyboard", "03", Some("usbhid"));
        model.device("1-4", 6, "Lonely", "0b", None);
        model.file("proc/80/comm", "qemu-system-x86\n").link("proc/80/fd/9", "/dev/bus/usb/001/004");
        model.file("proc/81/comm", "pcscd\n").link("proc/81/fd/9", "/dev/bus/usb/001/006");

        let some = model.system().unseen_devices(true);
        let expected = [
            ("RC-S380/P", HolderKind::Kernel, Some("port100")),
            ("SCR 3310", HolderKind::Usb, Some("qemu-system-x86")),
        ];
        assert_eq!(some.iter().map(held).collect::<Vec<_>>(), expected);
        let all = model.system().unseen_devices(false);
        assert_eq!(all[..2], some[..]);
        assert_eq!(all[2..], [Finding::Reader { name: "Lonely".into(), state: ReaderState::Failed }]);

        model.file("proc/80/comm", "scdaemon\n");
        assert_eq!(held(&model.system().unseen_devices(true)[1]).1, HolderKind::GnuPg);
    }

    #[test]
    fn the_group_of_a_socket_is_named_if_it_helps() {
        let model = Model::new();
        model.file("socket", "");
        let socket = model.0.path().join("socket");
        let gid = fs::metadata(&socket).expect("there").gid();
        model.file("etc/group", &format!("root:x:{}:\npcscd:x:{gid}:somebody\n", gid + 1));
        fs::set_permissions(&socket, fs::Permissions::from_mode(0o660)).expect("ours");
        assert_eq!(model.system().group_of(&socket), Some("pcscd".into()));
        fs::set_permissions(&socket, fs::Permissions::from_mode(0o600)).expect("ours");
        assert_eq!(model.system().group_of(&socket), None);
    }
}
