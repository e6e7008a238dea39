# Recorded exchanges with a card (card trace show).
trace-unredacted = This trace is not redacted: there may be secrets of a simulated card in it
trace-wait = card waited for
trace-connect = card opened
trace-card-extended = ATR { $atr }  commands of { $most } bytes at most, extended length too
trace-card-short = ATR { $atr }  commands of { $most } bytes at most, short only
trace-begin = transaction begun
trace-end-leave = transaction ended  the card stays as it is
trace-end-reset = transaction ended  card reset
trace-end-power-off = transaction ended  card powered off
trace-end-dropped = transaction given up  the card stays as it is
trace-was-reset = The card has lost its state: it was reset or taken away
trace-hand-removed = (a hand took the card away)
trace-hand-inserted = (a hand put the card in)
trace-hand-reset = (the card was reset from outside)
trace-gap = { $count ->
    [one] One line is missing here
   *[other] { $count } lines are missing here
}
trace-summary = { $commands ->
    [one] 1 command
   *[other] { $commands } commands
} in { $exchanges } of { $whole }; data: { $sent } bytes sent, { $received } received
trace-gaps = { $count ->
    [one] One line is missing: it could not be written
   *[other] { $count } lines are missing: they could not be written
}
trace-cut-off = The trace was cut off: the program was stopped, or the disk was full
trace-incomplete = The trace is incomplete: not all of it could be written
trace-not-begun = No trace was made: this command did not use the card
error-trace-exists = There is a file { $path } already
    .cause = A trace never takes the place of another file
    .mend = Name another file, or move that one away
error-trace-unwritable = The trace can't be written to { $path }
    .cause = There is no such folder, no permission, or no space
    .mend = Name a file in a folder where you may write
error-trace-unreadable = The trace { $path } can't be read
    .cause = There is no such file, or it belongs to another user
    .mend = Check the path. A trace can be read only by the user who made it
error-trace-not-a-trace = { $path } is no trace of a card
    .cause = It is another file, or its beginning was damaged
    .mend = Name a file that --trace has made
error-trace-version = { $path } is a trace of version { $version }, which this program can't read
    .cause = It was made by another version of this program
    .mend = Use the version that made it
error-trace-damaged = The trace { $path } is damaged at line { $line }
    .cause = It was edited or damaged
    .mend = Make the trace again
error-trace-too-long = The trace { $path } is too long
    .cause = More than a million lines stand in it
    .mend = Make a trace of one procedure

# The card's applications.
application-name-jpki = JPKI AP
application-name-face-check = face check AP
application-name-face-input = face input AP
application-name-juki = Juki AP
application-name-common = common card AP
application-name-security-domain = security domain
application-name-other = another application

# Their files, PINs and keys.
element-sign-ca-certificate = certificate of the signature CA
element-auth-ca-certificate = certificate of the user authentication CA
element-token-info = token information
element-certificate-availability = which certificates there are
element-sign-key = signature key
element-auth-key = user authentication key
element-sign-pin = signature PIN
element-auth-pin = user authentication PIN
element-my-number = My Number
element-basic-four = four basic items
element-face-input-pin = face input PIN
element-check-number-a = check number A
element-check-number-b = check number B
element-integrity = signed digests
element-age = date of birth, signed
element-face = face of the card
element-my-number-image = My Number as an image
element-birth-number = check number, date of birth
element-application-key = application's key
element-application-certificate = application's certificate
element-information = basic information
element-card-record = card serial number
element-key-reference = key identifier
element-authentication-key = card authentication key
element-juki-pin = basic resident register PIN
element-other = another file

# What the card said.
status-ok = done
status-more-data = more to fetch
status-end-of-file = end of file
status-deactivated = deactivated
status-warning-unchanged = a remark
status-authentication-failed = authentication failed
status-tries-left = not verified; tries left: { $count }
status-no-tries-left = not verified; no tries left
status-warning-changed = a remark
status-failed-unchanged = failed, nothing changed
status-failed-changed = failed
status-memory-failure = memory failure
status-wrong-length = wrong length
status-class-not-supported = unknown class
status-logical-channel-not-supported = no logical channels
status-secure-messaging-not-supported = no secure channel here
status-last-command-expected = the chain's last command was expected
status-chaining-not-supported = no chaining here
status-not-allowed = not allowed
status-incompatible-with-file = not for this kind of file
status-security-status-not-satisfied = a PIN or a secure channel is missing
status-authentication-method-blocked = PIN blocked
status-reference-data-not-usable = PIN not usable
status-conditions-not-satisfied = not in this state
status-no-current-file = no file selected
status-secure-messaging-data-missing = not secured
status-secure-messaging-data-incorrect = wrongly secured; the channel is closed
status-wrong-parameters = wrong parameters
status-wrong-data = incorrect data
status-function-not-supported = not supported
status-file-not-found = no such file or application
status-record-not-found = no such record
status-not-enough-memory = not enough memory
status-incorrect-p1-p2 = incorrect P1 P2
status-referenced-data-not-found = what it names is not there
status-offset-outside-file = outside the file
status-wrong-le = ask for { $count } bytes
status-instruction-not-supported = unknown instruction
status-no-precise-diagnosis = failed without a diagnosis
status-unknown = unknown status word
