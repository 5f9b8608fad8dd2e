# Obtain certificate
home-title = Obtain certificate
home-lead = Obtain the certificate that you log in with, on this computer.
home-who = For whom this is
home-who-first = You have never had a certificate
home-who-expired = Your certificate has expired
home-who-reissue = Your certificate is being reissued
home-need = What you need
home-need-password = Your ID (administrator or user ID) and your password
home-need-mail = A code that we send to your registered e-mail address
home-start = Obtain certificate
home-login-title = If you have a valid certificate
home-login-body = Log in and renew it with “Certificate renewal” on the main screen.
home-login = To the login page

enrol-title = Obtain certificate
enrol-heading = Your identity
enrol-lead = Enter your ID and password. On the next screen we ask for a code that we send by e-mail.
enrol-submit = Next
enrol-too-many-title = This is paused for a while
enrol-too-many = This was tried too often with this ID, so it is paused. Please wait { $wait } and try again. Logging in with a certificate is not affected.
enrol-crowded = This was tried too often from your network, so it is paused. Please wait { $wait } and try again. Logging in with a certificate is not affected.
enrol-busy-title = We are busy at the moment
enrol-busy = Many people are here right now. Please wait { $wait } and try again. There is nothing wrong with what you entered.

code-title = Enter the code
code-lead = If the ID and the password are right, a code was sent to the registered e-mail address.
code-field = Code
code-hint = { $minutes ->
    [one] Enter the { $digits } digits within 1 minute. You may paste them.
   *[other] Enter the { $digits } digits within { $minutes } minutes. You may paste them.
}
code-submit = Confirm
code-none-title = No mail?
code-none-body = Please look into your spam folder. If nothing at all has arrived, check your ID and password and enter them again. If you have a valid certificate, if the time to obtain one has passed, if it has not been permitted or if the registered address was changed a short time ago, a mail to that address says so instead of a code. If no address is registered, or to change it, ask the help desk.
code-none-link = Back to ID and password
code-missing = Enter the code.
code-wrong-title = We could not confirm it
code-wrong = This code is wrong. Please compare it with the newest mail.
code-expired-title = The code is too old
code-expired = Please enter your ID and password again to receive a new code.
code-spent-title = Too many tries with this code
code-spent = This code can no longer be used. Please enter your ID and password again.
code-too-many-title = This is paused for a while
code-too-many = There were too many wrong entries, so this is paused. Please wait { $wait } and try again.

enrolment-idle-title = This was ended because nothing happened
enrolment-idle-body = { $minutes ->
    [one] For your safety this ends when nothing happens for 1 minute. Enter your ID and password again to go on from there.
   *[other] For your safety this ends when nothing happens for { $minutes } minutes. Enter your ID and password again to go on from there.
}
enrolment-total-title = Please begin again
enrolment-total-body = For your safety this was ended because you began a long time ago. Enter your ID and password again to go on from there.
