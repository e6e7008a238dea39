# How a procedure goes on. The item is on the left, what happened on the right.
progress-log-on = Log-on
progress-log-on-done = user { $operator }
progress-second-person = Second person
progress-captures = (capture { $captures }; before that: { $reasons })
progress-capture-retried = Please hold your palm over the sensor again ({ $reason })
progress-refused-captures = (captures: { $reasons })
progress-log-on-refused = not recognised
progress-interruption = Interruption
progress-interruption-found = { $count ->
    [0] a procedure was interrupted; its card is settled when it is next read
    [one] one open record of an interrupted procedure closed; its card is settled when it is next read
   *[other] { $count } open records of an interrupted procedure closed; its card is settled when it is next read
}
progress-application = Application
progress-application-taken = { $kinds }  resident's data taken
progress-application-substituted = ({ $count ->
    [one] one character replaced
   *[other] { $count } characters replaced
})
progress-card = Card
progress-card-new = the applicant's card  nothing issued yet
progress-card-found = the applicant's card  { $slots }
progress-slot = { $kind } { $state }
progress-slot-empty = not issued
progress-slot-active = issued
progress-slot-pending = being written
progress-slot-interrupted = interrupted, none works
progress-slot-active-pending = issued (renewal under way)
progress-card-overwrites = a new key overwrites the old one on this card
progress-card-imports = this card makes no keys: the HSM makes them for it
progress-card-keys = Card keys
progress-card-keys-added = version { $version } written beside the old one
progress-card-keys-proved = version { $version } proved by a channel
progress-card-keys-removed = version { $version } removed
progress-card-keys-rolled-back = version { $version } did not prove itself and was taken back
progress-slot-separator = {"  "}
progress-card-lost = The card was taken away. Please put the same card back
progress-authority-retried = asking the authority again (attempt { $attempt })
progress-erase = Temporary records
progress-erased = erased
progress-log-off = End
progress-logged-off = logged off
progress-settle = Settled
progress-settled-committed = { $kind }: the valid certificate was made final on the card
progress-settled-confirmed-and-committed = { $kind }: receipt was confirmed and the certificate made final on the card
progress-settled-discarded = { $kind }: what was half written was discarded
progress-settled-superseded = { $kind }: the previous certificate was revoked
progress-reached-issued = on the card, and valid
progress-reached-step = came as far as “{ $step }”; settled when the card is next read
progress-apdu = card  { $header }  sent { $sent }  received { $received }  { $status }
progress-message = authority  { $kind }  sent { $sent }  received { $received }

# The steps of a procedure, side by side before the time on the right.
step-pin = PIN
step-generate-key = key pair
step-import-key = key pair from the HSM
step-request = issue
step-check = check
step-write = write
step-exercise = try out
step-confirm = valid
step-commit = final
step-supersede = previous one revoked
step-timed = { $step } ({ $time })
step-timed-by-card = { $step } (card time { $time })
step-interrupted = { $step } interrupted
step-running-for = { $step } … { $seconds } s
step-running = { $step } …

# Why a palm capture is taken again.
retry-no-hand = no hand
retry-too-near = too near
retry-too-far = too far
retry-too-left = too far left
retry-too-right = too far right
retry-off-centre = off centre
retry-moving = moving
retry-tilted = tilted
retry-too-dark = too dark
retry-too-bright = too bright
retry-covered = covered
retry-no-veins = no veins seen
retry-not-recognised = no match
retry-other = unusable
retry-quoted = “{ $reason }”
