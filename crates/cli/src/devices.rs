//! The table of known devices: udev rules and `doctor` follow from it.

use std::fmt::Write as _;
use std::fs;
use std::path::Path;

use biometric::hid::{ModelKey, TrustedModels};
use serde::{Deserialize, Serialize};

/// `udev/devices.toml`.
const TABLE: &str = include_str!("../../../udev/devices.toml");

/// The table of devices that a terminal may use.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct DeviceTable {
    /// The group that may open the devices.
    pub group: String,
    /// The devices.
    #[serde(rename = "device")]
    pub devices: Vec<KnownDevice>,
}

/// What a device is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum DeviceKind {
    /// Holds cards.
    CardReader,
    /// Takes pictures of palms.
    PalmSensor,
}

impl DeviceKind {
    /// The tag that the udev rules put on such a device.
    const fn tag(self) -> &'static str {
        match self {
            Self::CardReader => "madoguchi_reader",
            Self::PalmSensor => "madoguchi_sensor",
        }
    }
}

/// One device, or one class of devices.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct KnownDevice {
    /// What it is for.
    pub kind: DeviceKind,
    /// What people call it.
    pub name: String,
    /// How it is recognised.
    #[serde(flatten)]
    pub by: RecognisedBy,
    /// Are these ids reserved for tests?
    #[serde(default)]
    pub test_id: bool,
    /// Parts of names in PC/SC, upper and lower case alike, of what is recognised as a card reader and takes no cards: security
    /// tokens, slots for SIM cards.
    #[serde(default)]
    pub not_in_pcsc: Vec<String>,
    /// Of a palm sensor: the key with which the maker certifies devices of this model, a point of P-256, uncompressed, in hex.
    #[serde(default)]
    pub model_key: Option<String>,
    /// Of a palm sensor: SHA-256 digests, in hex, of firmware that is not to be used any more.
    #[serde(default)]
    pub refused_firmware: Vec<String>,
}

/// The palm sensors of the table: how they are found, and what they must prove to be.
#[derive(Clone, Debug)]
pub struct KnownPalmSensors {
    /// USB ids, `vvvv:pppp`.
    pub usb_ids: Vec<String>,
    /// The models, by their keys.
    pub trusted: TrustedModels,
}

/// How a device is recognised.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum RecognisedBy {
    /// By the class of one of its USB interfaces, two lower-case hex digits.
    InterfaceClass(String),
    /// By vendor and product, `vvvv:pppp` in lower-case hex.
    UsbId(String),
}

impl DeviceTable {
    /// The table that the program was built with.
    ///
    /// # Errors
    /// None for the table in the repository, as a test reads it.
    pub fn built_in() -> Result<Self, toml::de::Error> {
        toml::from_str(TABLE)
    }

    /// The udev rules (udev(7)) that give the group access to the devices, and no more.
    #[must_use]
    pub fn rules(&self) -> String {
        let mut rules = String::from(
            "# Made from udev/devices.toml by `madoguchi devices rules`; change the table, not this file.\n\
             # Goes to /etc/udev/rules.d/. The number stands before 73-seat-late.rules, which acts on the tag uaccess.\n\n\
             ACTION==\"remove\", GOTO=\"madoguchi_end\"\n",
        );
        for device in &self.devices {
            let test = if device.test_id { " (ids reserved for tests)" } else { "" };
            let tag = device.kind.tag();
            let group = &self.group;
            let selector = match &device.by {
                RecognisedBy::InterfaceClass(class) => format!(
                    "SUBSYSTEM==\"usb\", ENV{{DEVTYPE}}==\"usb_device\", ENV{{ID_USB_INTERFACES}}==\"*:{class}????:*\""
                ),
                // The HID device's name (bus 0003, USB) and not the USB parent's attributes: a device on uhid has no such parent.
                RecognisedBy::UsbId(id) => {
                    format!("SUBSYSTEM==\"hidraw\", KERNELS==\"0003:{}.*\"", id.to_ascii_uppercase())
                }
            };
            // Writing to a String does not fail.
            let _ = write!(
                rules,
                "\n# {}{test}\n{selector}, \\\n  GROUP=\"{group}\", MODE=\"0660\", TAG+=\"{tag}\", TAG+=\"uaccess\"\n",
                device.name
            );
        }
        rules.push_str("\nLABEL=\"madoguchi_end\"\n");
        rules
    }

    /// The polkit rules (polkit(8)) that let the group use the service for card readers, where the service asks polkit.
    #[must_use]
    pub fn polkit_rules(&self) -> String {
        let group = &self.group;
        format!(
            "// Made from udev/devices.toml by `madoguchi devices polkit`; change the table, not this file.\n\
             // Goes to /etc/polkit-1/rules.d/. Without it, pcscd lets in whoever sits at the machine's own screen, and nobody else.\n\n\
             polkit.addRule(function (action, subject) {{\n    \
                 var pcsc = [\"org.debian.pcsc-lite.access_pcsc\", \"org.debian.pcsc-lite.access_card\"];\n    \
                 if (pcsc.indexOf(action.id) >= 0 && subject.isInGroup(\"{group}\")) {{\n        \
                     return polkit.Result.YES;\n    \
                 }}\n\
             }});\n"
        )
    }

    /// May a card be looked for in the reader of this name in PC/SC?
    #[must_use]
    pub fn knows_reader(&self, name: &str) -> bool {
        let name = name.to_lowercase();
        !self.no_places_for_cards().any(|part| name.contains(&part.to_lowercase()))
    }

    /// Parts of names in PC/SC, upper and lower case alike, of what the service takes for a card reader and takes no cards.
    pub fn no_places_for_cards(&self) -> impl Iterator<Item = &str> {
        let readers = self.devices.iter().filter(|device| device.kind == DeviceKind::CardReader);
        readers.flat_map(|reader| &reader.not_in_pcsc).map(String::as_str)
    }

    /// The palm sensors that a terminal may use: `with_test_units` also those whose ids are reserved for tests, of which the keys are no secret.
    #[must_use]
    pub fn palm_sensors(&self, with_test_units: bool) -> KnownPalmSensors {
        let models = || {
            let sensors = self.devices.iter().filter(|device| device.kind == DeviceKind::PalmSensor);
            sensors.filter(move |sensor| with_test_units || !sensor.test_id)
        };
        let usb_ids = models().filter_map(|model| match &model.by {
            RecognisedBy::UsbId(id) => Some(id.clone()),
            RecognisedBy::InterfaceClass(_) => None,
        });
        let keys = models().filter_map(|model| hex::decode(model.model_key.as_ref()?).ok());
        let keys = keys.filter_map(|key| ModelKey::from_sec1(&key).ok());
        let refused = models().flat_map(|model| &model.refused_firmware);
        let refused = refused.filter_map(|digest| hex::decode(digest).ok()?.try_into().ok());
        KnownPalmSensors { usb_ids: usb_ids.collect(), trusted: TrustedModels::new(keys).without_firmware(refused) }
    }

    /// The devices of the table that the system has, by the files of `sysfs` (usually `/sys`).
    #[must_use]
    pub fn present(&self, sysfs: &Path) -> Vec<&KnownDevice> {
        let interface_classes = attributes(&sysfs.join("bus/usb/devices"), |device| {
            fs::read_to_string(device.join("bInterfaceClass")).ok().map(|class| class.trim().to_ascii_lowercase())
        });
        // Names as in `0003:1209:0001.0005`: bus, vendor, product, instance.
        let hid_ids = attributes(&sysfs.join("bus/hid/devices"), |device| {
            let name = device.file_name()?.to_str()?.to_ascii_lowercase();
            name.split_once(':')?.1.split_once('.').map(|(id, _)| id.to_owned())
        });
        self.devices
            .iter()
            .filter(|device| match &device.by {
                RecognisedBy::InterfaceClass(class) => interface_classes.contains(class),
                RecognisedBy::UsbId(id) => hid_ids.contains(id),
            })
            .collect()
    }
}

/// What `read` finds in each entry of `folder`; nothing if there is no such folder.
fn attributes(folder: &Path, read: impl Fn(&Path) -> Option<String>) -> Vec<String> {
    fs::read_dir(folder).into_iter().flatten().flatten().filter_map(|entry| read(&entry.path())).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_rules_in_the_repository_are_those_of_the_table() {
        let rules = DeviceTable::built_in().unwrap().rules();
        assert_eq!(rules, include_str!("../../../udev/70-madoguchi.rules"), "run `madoguchi devices rules`");
    }

    #[test]
    fn the_polkit_rules_in_the_repository_are_those_of_the_table() {
        let rules = DeviceTable::built_in().unwrap().polkit_rules();
        assert_eq!(rules, include_str!("../../../udev/70-madoguchi-polkit.rules"), "run `madoguchi devices polkit`");
    }

    #[test]
    fn tokens_are_told_from_readers_by_their_names() {
        let table = DeviceTable::built_in().unwrap();
        for (name, known) in [
            ("SCM Microsystems Inc. SCR 3310 [CCID Interface] 00 00", true),
            ("ACS ACR1252 Dual Reader [ACR1252 Dual Reader PICC] 00 00", true),
            ("ACS ACR1252 Dual Reader [ACR1252 Dual Reader SAM] 01 00", false),
            ("Yubico YubiKey OTP+FIDO+CCID 00 00", false),
            ("Nitrokey Nitrokey HSM (DENK01234560000         ) 00 00", false),
        ] {
            assert_eq!(table.knows_reader(name), known, "{name}");
        }
    }

    #[test]
    fn ids_are_written_as_the_system_writes_them() {
        let hex = |text: &str| !text.is_empty() && text.bytes().all(|b| b"0123456789abcdef".contains(&b));
        for device in DeviceTable::built_in().unwrap().devices {
            match &device.by {
                RecognisedBy::InterfaceClass(class) => assert!(class.len() == 2 && hex(class), "{class}"),
                RecognisedBy::UsbId(id) => {
                    let (vendor, product) = id.split_once(':').unwrap();
                    assert!(vendor.len() == 4 && product.len() == 4 && hex(vendor) && hex(product), "{id}");
                    let reserved_for_tests = vendor == "1209" && u16::from_str_radix(product, 16).unwrap() <= 0x10;
                    assert_eq!(device.test_id, reserved_for_tests, "{id}");
                }
            }
        }
    }

    #[test]
    fn every_palm_sensor_has_a_key_and_the_simulators_counts_for_tests_only() {
        let table = DeviceTable::built_in().unwrap();
        for sensor in table.devices.iter().filter(|device| device.kind == DeviceKind::PalmSensor) {
            let key = hex::decode(sensor.model_key.as_ref().unwrap()).unwrap();
            assert!(ModelKey::from_sec1(&key).is_ok(), "{}", sensor.name);
            assert!(sensor.refused_firmware.iter().all(|digest| hex::decode(digest).unwrap().len() == 32));
        }
        assert!(table.palm_sensors(true).usb_ids.contains(&"1209:0001".to_owned()));
        let in_service = table.palm_sensors(false);
        assert!(!in_service.usb_ids.contains(&"1209:0001".to_owned()));
        assert_eq!(format!("{:?}", in_service.trusted), format!("{:?}", TrustedModels::default()));
    }

    #[test]
    fn what_is_plugged_in_is_found() {
        let sysfs = tempfile::tempdir().unwrap();
        let table = DeviceTable::built_in().unwrap();
        let kinds = || table.present(sysfs.path()).iter().map(|device| device.kind).collect::<Vec<_>>();
        assert_eq!(kinds(), []);
        let interface = sysfs.path().join("bus/usb/devices/1-1:1.0");
        fs::create_dir_all(&interface).unwrap();
        fs::write(interface.join("bInterfaceClass"), "08\n").unwrap();
        assert_eq!(kinds(), []);
        fs::write(interface.join("bInterfaceClass"), "0b\n").unwrap();
        assert_eq!(kinds(), [DeviceKind::CardReader]);
        fs::create_dir_all(sysfs.path().join("bus/hid/devices/0003:1209:0001.0005")).unwrap();
        assert_eq!(kinds(), [DeviceKind::CardReader, DeviceKind::PalmSensor]);
    }
}
