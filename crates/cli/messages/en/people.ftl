# Questions at the counter.
people-choose-pin = Choose the PIN of the { $certificate } and type it ({ $format })
people-repeat-pin = Type it again to be sure
people-pins-differ = The two are not the same. Please begin again
people-enter-pin = Type the PIN of the { $certificate } ({ $format }; { $tries ->
    [one] one try left
   *[other] { $tries } tries left
})
people-pin-format-authentication = 4 digits
people-pin-format-signature = 6 to 16 capital letters and digits
people-pin-hidden = What is typed is not shown. Ctrl-C cancels
people-pin-refused = This PIN can't be used: { $reason }
people-card-face-code = Type check number B (date of birth, 6 digits; year of expiry, 4 digits; security code, 4 digits)
people-card-face-code-format = Please type 14 digits
people-applicant-is-here = Is the applicant here, and identified?
people-substituted-characters = { $count ->
    [one] One character is
   *[other] { $count } characters are
} replaced by a substitute. Does the applicant agree?
people-overwrites-in-place = This card has no second place for a new key. Until the end the old certificates do not work, and if the card is taken away before, none does. The card stays where it is until all is done. Does the applicant agree?
people-yes-no = [yes = y / no = n]
people-yes-no-again = Please answer y or n
people-choose-substitute = Character { $position } of the { $text } can't stand in a certificate. Type its substitute
people-text-name = name
people-text-alias = alias
people-text-address = address
