# Login, notice, main, signed out
login-title = Login
login-lead = We verify you by your certificate together with your ID and password.
login-submit = Log in
login-pending-lead = Logging in here also puts the new certificate into use.
login-mismatch-title = You are not logged in
login-mismatch = The ID, the password or the certificate do not belong together. IDs and passwords are case-sensitive. Please check them and try again.
login-certificate-needed = Logging in takes a certificate that is in use. Please see the advice below.
login-too-many-title = Login is paused for a while
login-too-many = There were too many wrong entries, so login is paused. Please wait { $wait } and try again.
login-busy-title = We are busy at the moment
login-busy = Many people are logging in right now. Please wait { $wait } and try again. There is nothing wrong with what you entered.
door-title = Obtain certificate
door-body = If you have no certificate yet, if yours has expired, or if it is being reissued, obtain one here.
door-link = Go to Obtain certificate

undelivered-title = Please check your registered mail address
undelivered-heading = We could not deliver our mails to you
undelivered-came-back = A mail to your registered address was sent and came back.
undelivered-refused = A mail to your registered address was not accepted by the mail server there.
undelivered-none = No mail address is registered for you, so a mail could not be sent.
undelivered-consequence = Until this is put right, notices about your certificate and the code for obtaining one cannot reach you.
undelivered-address = Your registered address
undelivered-since = Not delivered since
undelivered-todo-title = What to do
undelivered-todo-check = Please check that you still use this address, that it does not block our mails, and that your mailbox is not full.
undelivered-todo-change = To register or change an address, please use the contact at the bottom of this page.
undelivered-next = Continue

notice-title = Renewal notice
notice-calm = Your certificate will expire soon
notice-firm = Please renew your certificate
notice-strong = Your certificate is about to expire
notice-today = Your certificate expires today
notice-left = { $days ->
    [one] 1 day left
   *[other] { $days } days left
}
notice-left-today = Ends today
notice-body = Certificates have to be renewed every year. It takes a few minutes, and your present certificate keeps working until you are done.
notice-body-consequence = After the expiry you can no longer log in; you would have to prove your identity again to obtain a certificate. Please renew while there is time.
notice-later-count = { $count ->
    [one] You have chosen “Renew later” once so far.
   *[other] You have chosen “Renew later” { $count } times so far.
}
notice-each-id = Each ID (administrator or user) has to be renewed on its own.
notice-renew = Renew now
notice-later = Renew later
notice-later-hint = To renew later, choose “Certificate renewal” on the main screen.

main-title = Main
main-welcome = { $organization }
main-role-administrator = Administrator ID
main-role-user = User ID
main-holder = { $name }
main-menu = Menu
main-renew = Certificate renewal
main-renew-note = Get a new certificate before the present one expires.
main-continue = Certificate renewal (continue)
main-continue-note = Go on with the renewal that you have begun.
main-doctor-note = See which certificate our server sees.
main-certificate = Your certificate
main-opens = You can renew it from { $date }.
main-calendar = Add to calendar (.ics)
main-last-login = Last login
main-last-login-none = This is your first login.
main-last-login-check = If you do not recognise this time, please contact the help desk at once.
main-issued-title = Your new certificate has been issued
main-issued-body = The certificate with serial number { $serial } is waiting to be checked. If you have imported it, please check it now. Until then your present certificate keeps working.
main-issued-check = Check the new certificate
main-issued-file = Back to saving and importing
main-new-tab = (opens in a new tab)

signed-out-title = You are signed out
signed-out-body = Thank you. You may close this window.
signed-out-restart = Before you use a new certificate, quit your browser completely once. Until you do, it may keep using the previous certificate.
session-idle-title = You were signed out because nothing happened
session-idle-body = { $minutes ->
    [one] For your safety you are signed out after 1 minute without activity. If you were in the middle of something, log in and go on from there.
   *[other] For your safety you are signed out after { $minutes } minutes without activity. If you were in the middle of something, log in and go on from there.
}
session-total-title = Please log in again
session-total-body = For your safety we signed you out because you logged in a long time ago. If you were in the middle of something, log in and go on from there.
session-replaced-title = Your new certificate is now in use
session-replaced-body = The previous certificate can no longer log in. Quit your browser completely, open it again and choose the certificate with serial number { $serial }.
session-expired-title = Your certificate has expired
session-expired-body = Your certificate expired on { $at }, so you were signed out. The login page says what to do next.
session-revoked-title = Your certificate has been revoked
session-revoked-body = Your certificate has been revoked, so you were signed out. If you do not know why, please contact the help desk at once.
session-login = To the login page
