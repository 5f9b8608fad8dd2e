# Texts that all screens share
skip = Skip to the content
language = Language
failed-prefix = Error:{" "}
sign-out = Sign out

help-title = Need help?
help-hours = Hours: { $hours }
help-doctor = Certificate doctor
help-doctor-note = Shows which certificate our server sees, and what to do next.
help-mail = We never send you e-mail with a link to a login page.

yes = Yes
no = No
days = { $days ->
    [one] 1 day
   *[other] { $days } days
}
seconds = { $seconds ->
    [one] 1 second
   *[other] { $seconds } seconds
}
minutes = { $minutes ->
    [one] 1 minute
   *[other] { $minutes } minutes
}

kind-info = Information
kind-ok = All is well
kind-warn = Please note
kind-stop = Important

steps = Steps of the procedure
step-of = Step { $here } of { $count }
step-done = done
step-notice = Notice
step-identify = Your identity
step-preparing = Preparation
step-start = Start
step-obtain = Start
step-complete = Issuance
step-activate = Check

field-id = ID
field-password = Password
field-id-hint = Your administrator ID or user ID.
summary-title = Please check what you entered
missing-id = Enter your ID.
missing-password = Enter your password.

label-serial = Serial number
label-subject = ID
label-expiry = Expires
label-validity = Validity
label-days-left = Days left
label-protection = Where the key is kept
label-issuer = Certification authority
range = { $from } to { $to }
protection-file = A file with a passphrase
protection-os = The certificate store of this computer
protection-hardware = The security chip of this computer
