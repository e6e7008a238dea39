# The summary of a procedure.
summary-serial = Serial number
summary-validity = Validity
summary-key = Key
summary-key-of-hsm = made in the HSM for this card, and destroyed there
summary-period = { $from } to { $until }
summary-issuer = Issuer
summary-file = File
summary-unsettled = Not revoked yet
summary-unsettled-until = the previous certificate ({ $kinds }). Read the card again (`card show`) when the line to the authority is good
summary-exchanged = Exchanged
summary-with-card = Card
summary-card = { $apdus } commands  { $out } bytes sent  { $in } bytes received
summary-authority = Authority
summary-messages = { $count ->
    [one] one message and its answer
   *[other] { $count } messages and their answers
}
summary-times = Times
summary-proofs = Proved
summary-log = Operation history
summary-log-verified = { $entries } entries  verified
summary-log-not-verified = { $entries } entries  not verified
summary-nothing-left = no personal data is left
summary-left = left behind: { $item } ({ $encoding }, { $place })
summary-next = To try next
proved-signature = signature
proved-authentication = user authentication
proved-certificates = certificates
proved-authority-status = valid at the authority
proved-log = operation history
proved-erasure = temporary records erased
sex-male = male
sex-female = female
sex-other = other
