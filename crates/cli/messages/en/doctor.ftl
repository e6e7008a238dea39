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
doctor-reader = { $device }
doctor-sensor = { $device }
doctor-plugged-in = plugged in: { $device }
doctor-not-plugged-in = no known device is plugged in
doctor-authority = { $address }
doctor-all-well = All is well
doctor-not-well = Some things need mending
