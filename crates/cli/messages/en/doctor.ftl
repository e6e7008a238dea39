# The terminal's examination. What is wrong says how to mend it (.mend).
check-folder = State folder
check-permissions = Permissions
check-writable = Writing
check-space = Free space
check-operators = Operators
check-settings = Settings
check-register = Register
check-hsm = HSM
doctor-folder = { $path }
doctor-permissions = for the terminal's user alone ({ $mode })
doctor-permissions-open = other users can get in ({ $mode })
    .mend = chmod 700 { $path }
doctor-permissions-foreign = the folder belongs to another user than the one who runs this ({ $mode })
    .mend = Run this as the terminal's user, or put right with chown whose { $path } is
doctor-writable = files can be written and erased, and no other program uses it
doctor-writable-interrupted = files can be written and erased; a procedure was interrupted and is settled when its card is next read
doctor-space = { $free } MiB
doctor-space-low = { $free } MiB left ({ $least } MiB are needed)
    .mend = Make room on the disk
doctor-log = { $entries } entries (`log verify` verifies them)
doctor-operators = operators: { $operators }, access managers: { $managers }
doctor-operators-missing = no operator, or no access manager, is enrolled
    .mend = Enrol them with `operator enrol`. The first one is an access manager
doctor-settings = { $terminal }  window { $window }  { $profile }
doctor-register = { $residents } residents
doctor-register-faulty = { $count ->
    [one] one fault
   *[other] { $count } faults
}
    .mend = Mend those lines of the register: their residents can't apply
doctor-register-more = and { $count } more
doctor-hsm = { $device }  keys: { $keys }
doctor-hsm-keys-missing = keys that are needed and missing: { $count }
    .mend = Ask maintenance to set the HSM up
doctor-hsm-derives-inside = cards' keys are derived inside the HSM (SP 800-108)
doctor-hsm-derives-outside = weaker: the HSM has no SP 800-108, so a card's keys are outside it while its channel is opened
doctor-hsm-hashes-inside = what is signed is hashed inside the HSM
doctor-hsm-hashes-outside = what is signed is hashed outside the HSM
doctor-reader = { $device }
doctor-sensor = { $device }
doctor-plugged-in = plugged in: { $device }
doctor-not-plugged-in = no known device is plugged in
doctor-authority = { $address }
doctor-all-well = All is well
doctor-not-well = Some things need mending

# What is wrong with the card readers, and how each is.
doctor-service-not-installed = the PC/SC service (pcscd) is not installed
    .mend = Have maintenance install the package `pcscd`
doctor-service-not-running = the PC/SC service (pcscd) does not run
    .mend = Have maintenance start it: `systemctl enable --now pcscd.socket`
doctor-refused-by-polkit = the PC/SC service does not let this user in: polkit refuses
    .mend = Copy udev/70-madoguchi-polkit.rules to /etc/polkit-1/rules.d/ and put the terminal's user into the group in it
doctor-socket-not-permitted = this user may not use the PC/SC service's socket { $path }
    .mend = { $group ->
        [none] Have maintenance look at the socket's permissions: `ls -l { $path }`
       *[other] Put the terminal's user into the group { $group } and log on anew
    }
doctor-no-reader = the PC/SC service sees no card reader
    .mend = Plug the reader in. If it is plugged in, its driver is missing: most need the package `libccid`
doctor-reader-not-there = none of the card readers is the one to use ({ $wanted })
    .mend = Plug it in, or name another with --reader or with `card-reader` in terminal.toml
doctor-reader-known = any known one
doctor-reader-seen = { $device }: { $state }
doctor-reader-empty = ready, no card
doctor-reader-card = ready, with a My Number Card
doctor-reader-unknown-card = a card that is no My Number Card (ATR { $atr })
    .mend = Take that card away
doctor-reader-mute = a card that does not react
    .mend = Turn the card over and wipe its contacts. If it stays so, the card is broken
doctor-reader-held-by-client = { $program } has the card to itself
    .mend = Close { $program }: a browser, a tax program or another terminal program with the card open
doctor-reader-held-by-gnupg = GnuPG, by { $program }, has the card to itself
    .mend = `gpgconf --kill scdaemon`, and `disable-ccid` and `pcsc-shared` in ~/.gnupg/scdaemon.conf
doctor-reader-held-over-usb = { $program } drives the reader itself, past the PC/SC service
    .mend = Close { $program }. GnuPG: `disable-ccid` in ~/.gnupg/scdaemon.conf. A virtual machine: detach the reader from it
doctor-reader-held-by-kernel = a driver of the kernel has the reader ({ $program })
    .mend = Keep the driver from loading: `blacklist { $program }` in /etc/modprobe.d/madoguchi.conf, then plug the reader in again
doctor-reader-held = another program has the card to itself
    .mend = Close other programs that use cards
doctor-reader-stuck = stuck with a command that never came back
    .mend = Take the card away, unplug the reader and plug it in again. If it stays so, restart the service: `systemctl restart pcscd`
doctor-reader-failed = can't be used
    .mend = Plug the reader in again. If it stays so, its driver does not fit or it is broken
doctor-program-unknown = another program
doctor-program = { $program } (process { $pid })
