# Why a procedure failed. The text says what, .cause the likely cause, .mend what to do.
error-log-on-refused = The operator was not recognised
    .cause = The user ID is wrong, or the palm is not the enrolled one
    .mend = Check the user ID and try again with the enrolled hand. If it keeps failing, ask the access manager: after some refusals a user ID is locked until it is released
error-log-on-delayed = Nobody can log on for { $seconds } s
    .cause = Too many log-ons in a row were refused at this terminal
    .mend = Wait, then check the user ID and try again. If it goes on, ask the access manager: `log show` tells what was tried
error-no-usable-capture = The palm could not be read ({ $reason })
    .cause = The hand was badly placed or lit, or the sensor's window is dirty
    .mend = Wipe the sensor's window and hold the open palm still, a little above its middle
error-not-logged-on = Nobody is logged on
    .cause = The screen was locked after idling, or nobody has logged on yet
    .mend = Log on again
error-not-allowed = This is not allowed
    .cause = The operator's role does not permit it
    .mend = Ask the access manager
error-second-person-needed = A second person is needed
    .cause = This takes two persons, and nobody else was named, or the same user ID twice
    .mend = Name another operator, who shows the palm here, too
error-last-access-manager = The last access manager can't be retired
    .cause = Nobody else has this role, and without it nobody could register or retire operators any more
    .mend = Register another access manager first
error-user-id-not-free = This user ID can't be used
    .cause = It is taken, or is not 4 to 16 letters and digits
    .mend = Choose another one. `operator list` shows those that are taken
error-unknown-operator = No operator has this user ID
    .cause = It was mistyped
    .mend = `operator list` shows those that are registered
error-enrol-unusable = The palm could not be enrolled ({ $reason })
    .cause = Too few pictures were usable: the hand was badly placed or lit, or the sensor's window is dirty
    .mend = Wipe the sensor's window, hold the open palm still, and enrol again
error-enrol-inconsistent = The palm could not be enrolled
    .cause = Not the same hand each time, or held very differently
    .mend = Hold the same hand the same way each time, and enrol again
error-unknown-resident = There is no resident of that number
    .cause = The number was mistyped, or the person has moved away
    .mend = Check the number on the resident record
error-not-eligible = The { $certificate } can't be issued: { $reason }
    .cause = The applicant does not meet the conditions for this certificate
    .mend = Explain the reason to the applicant. Use --kind to issue the other certificate only
error-application = The application can't be made: { $reason }
    .cause = The register has characters or lengths that a certificate can't carry
    .mend = Ask the keepers of the register to check that item and its substitute characters
error-no-card = No card was presented
    .cause = There is no card, or it lies askew on the reader
    .mend = Place the card straight on the reader and begin again
error-wrong-card = This card can't be used at this window
    .cause = It is no My Number Card, or it was made with another municipality's keys
    .mend = Check what card it is and who issued it
error-wrong-face-code = Check number B does not fit the card ({ $tries ->
        [one] one try left
       *[other] { $tries } tries left
    })
    .cause = It was misread or mistyped. The birth year is in the Japanese era, the year of expiry is not
    .mend = Read the card's face again. When no tries are left, the card refuses the number for good
error-card-of-another-person = This is not the applicant's card ({ $item } differs)
    .cause = It is another person's card, or its data are older than the register's
    .mend = Check card and applicant. If the card is out of date, bring its face up to date first
error-already-issued = The { $certificate } is on the card already
    .cause = The card has a working certificate of this kind
    .mend = To replace it, renew it (issue --renew)
error-card-expired = The card has expired
    .cause = Its own date of expiry, printed on its face, has passed, and no certificate may outlive its card
    .mend = Have a new card issued first. Nothing was changed
error-card-makes-no-keys = This card does not make keys itself
    .cause = It is of a kind whose keys are made in an HSM and brought onto it; the profile of this terminal requires keys that cards make themselves
    .mend = Issue to another card, or ask maintenance whether such cards are issued here (profile in terminal.toml). Nothing was changed
error-weak-key = The card made a weak key for the { $certificate } ({ $weakness })
    .cause = The card's key generator is faulty or of a weak make, so other cards of this kind may be, too. No certificate was asked for
    .mend = Do not use this card any more. Report its kind and serial number to the card's issuer and to the information security officer. If the key overwrote an old certificate, that one is revoked
error-weak-hsm-key = The HSM made a weak key for the { $certificate } ({ $weakness })
    .cause = The HSM's key generator is faulty, so other keys that it made may be weak, too. This one went to no card, and no certificate was asked for
    .mend = Do not issue to cards of this kind any more. Report the HSM's make and serial number (doctor shows them) to the information security officer. Nothing was changed
error-card-keys-not-proved = The card's new keys do not work
    .cause = The card stored other keys than it was given, or the line to it is bad. The old ones still work
    .mend = Clean the card's contacts and try again. If it happens again, leave this card with its old keys and report its kind to maintenance
error-nothing-to-renew = There is no { $certificate } to renew
    .cause = None was issued to this card yet
    .mend = Issue it without --renew
error-pin-blocked = The PIN of the { $certificate } is blocked
    .cause = It was entered wrongly too often, and the card takes it no more
    .mend = Reset the PIN
error-pin = This PIN can't be used: { $reason }
    .cause = Its length or characters break the rules, or it is easy to guess
    .mend = Ask the applicant to choose another one
error-cancelled = Cancelled
    .cause = The operator or the applicant cancelled, or did not answer in time
    .mend = Begin again if needed. Anything under way is settled when the card is next read
error-card-refused = The card refused
    .cause = The card's state does not fit the procedure, or this card can't do it
    .mend = Place the card again and look at it with `card show`. If it stays so, give the output of --verbose to maintenance
error-card-gone = The card was taken away midway
    .cause = It did not come back, or its contact kept breaking
    .mend = Place the same card again and begin anew. What was under way is settled by itself
error-authority-unreachable = The authority can't be reached
    .cause = The line is down, or the authority is
    .mend = Check the line with `doctor`. What was under way is settled when the card is next read
error-authority-refused = The authority refused
    .cause = The application, or this terminal's registration, does not meet the authority's conditions
    .mend = Look at the operation history (`log show`) and ask the authority's help desk
error-authority-not-trusted = The authority's answer can't be trusted
    .cause = It came from somebody else than the registered authority, or was changed on the way
    .mend = Stop here and tell the information security officer
error-certificate-differs = The certificate differs from the application ({ $field })
    .cause = It was changed at the authority. It will not become valid
    .mend = The card is as it was. Ask the authority's help desk
error-unexpected-event = The procedure contradicts itself
    .cause = This is a fault of the program
    .mend = Stop here and send the output of --verbose to the program's makers
error-other = The procedure can't go on
    .cause = An error that this program does not know
    .mend = Give the output of --verbose to maintenance

# Why somebody may not have a certificate.
ineligible-under-fifteen = under 15 years of age
ineligible-stay-ended = the period of stay has ended
ineligible-not-yet-born = the date of birth lies in the future
ineligible-other = the conditions are not met

# What is weak about a key that the card has made.
weak-key-malformed = it can't be read
weak-key-other-algorithm = another algorithm than the card's
weak-key-size = wrong length
weak-key-exponent = wrong public exponent
weak-key-small-factor = a small factor
weak-key-close-primes = its primes are too close
weak-key-roca = ROCA, CVE-2017-15361
weak-key-not-on-curve = not on its curve
weak-key-other = a known weakness

# Why a PIN can't be used. The applicant reads it.
pin-wrong-length = { $min ->
    [4] type 4 digits
   *[other] type { $min } to { $max } characters
}
pin-not-digits = use the digits 0 to 9 only
pin-not-letters-and-digits = use the letters A to Z and the digits 0 to 9 only
pin-no-letter = use at least one letter
pin-no-digit = use at least one digit
pin-birthday = the date of birth can't be used
pin-repeat = do not repeat one character
pin-run = do not use rows such as 1234 or ABCD
pin-other = choose another one

# Why an application can't be made.
application-text = { $item }: { $problem }
application-not-yet-born = the date of birth lies after the day of the application
application-other = the register's data can't be used as they are
text-empty = nothing is recorded
text-too-long = too many characters ({ $characters })
text-no-substitute = character { $position } has no substitute
text-choice-not-allowed = the substitute chosen for character { $position } is not allowed
text-needless-choice = a substitute was chosen for character { $position }, which needs none
text-other = a certificate can't carry it

# Headings of an explanation.
error-cause = Cause: {""}
error-mend = What to do: {""}
error-technical = Technical: { $chain }
