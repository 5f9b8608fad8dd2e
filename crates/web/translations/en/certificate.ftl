# What was seen, the doctor, the check of a new certificate
seen-none-title = Your browser showed no certificate
seen-none-body = If you have one, quit your browser completely, open it again and choose the certificate when asked. If you have none, go to Obtain certificate.
seen-active-title = We recognise your certificate
seen-active-body = Enter your ID and password to log in.
seen-waiting-title = Your previous certificate is being used
seen-waiting-body = The new certificate (serial number { $serial }) is waiting to be checked. Quit your browser completely, open it again and choose the new certificate.
seen-waiting-dead-body = This certificate can no longer be used. The new certificate (serial number { $serial }) is waiting to be checked. Quit your browser completely, open it again and choose the new certificate. If you have lost its file or passphrase, start again from Obtain certificate.
seen-future-title = Your certificate is not valid yet
seen-future-body = This certificate can be used from { $at }. Please try again then.
seen-expired-title = Your certificate has expired
seen-expired-body = { $days ->
    [one] This certificate expired on { $at } (1 day ago). Please obtain a new certificate.
   *[other] This certificate expired on { $at } ({ $days } days ago). Please obtain a new certificate.
}
seen-expired-today-body = This certificate expired today, on { $at }. Please obtain a new certificate.
seen-expired-closed-body = This certificate expired on { $at }, and the time to obtain a new one has passed too. Please ask the help desk for a reissue.
seen-pending-title = Your new certificate is not in use yet
seen-pending-body = Your browser showed the certificate with serial number { $serial }. Please put it into use on the check page.
seen-superseded-title = Your previous certificate is being used
seen-superseded-body = This certificate has been replaced by the one with serial number { $serial }. Quit your browser completely, open it again and choose the new certificate.
seen-superseded-open-body = This is a previous certificate, and the one after it can no longer be used either. Please obtain a new certificate.
seen-superseded-closed-body = This is a previous certificate, and the one after it can no longer be used either. Please ask the help desk for a reissue.
seen-opens-later-body = This certificate cannot be used. The registered address was changed, so for your safety no new certificate can be obtained until { $at }. After that, go to Obtain certificate. If you do not know about the change, please contact the help desk at once.
seen-revoked-title = Your certificate has been revoked
seen-revoked-body = This certificate was revoked on { $at }. If a reissue has been arranged, go to Obtain certificate.
seen-revoked-closed-body = This certificate was revoked on { $at }. Please ask the help desk for a reissue.
seen-unknown-title = This certificate is not for this site
seen-unknown-body = The certificate that your browser showed was not issued by this site’s certification authority. Quit your browser completely, open it again and choose the certificate for this site.

next-enrol = Obtain certificate
next-activate = Check the new certificate
next-login = To the login page
next-contact = See how to reach the help desk

doctor-title = Certificate doctor
doctor-lead = This is what our server saw when you opened this page.
doctor-healthy-title = We found no problem
doctor-healthy-body = You can log in with this certificate. It expires on { $at }.
doctor-saw = What our server saw
doctor-row-host = Host
doctor-row-tls = Encryption
doctor-row-now = Server time
doctor-row-status = State of the certificate
doctor-next = What to do next
doctor-ask = When you contact us, please tell us what this page says. We never ask for a password or a passphrase.
status-none = none was shown
status-active = in use
status-future = not valid yet
status-expired = expired
status-pending = waiting to be checked
status-superseded = replaced (the previous one)
status-revoked = revoked
status-unknown = not for this site

activation-title = Check of the new certificate
activation-confirm-title = Your browser showed the new certificate
activation-confirm-body = This certificate will now be put into use.
activation-confirm-note = From then on your previous certificate can no longer log in.
activation-confirm-submit = Put it into use
activation-confirm-auto = This goes on by itself. If it does not, choose the button.
activation-done-title = The new certificate works
activation-done-body = Log in with this certificate from now on.
activation-done-old = The previous certificate (serial number { $serial }) can no longer log in. You may delete it from your computer.
activation-done-restart = Before you log in, quit your browser completely once.
activation-already-title = This certificate is already in use
activation-already-body = The check has been done before. You can log in with this certificate.
activation-none-body = Quit your browser completely, open it and this page again, and choose the new certificate when asked. If you are not asked, please make sure that you have imported it.
