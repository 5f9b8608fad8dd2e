# 電子証明書取得
home-title = 電子証明書取得
home-lead = ログインに使う電子証明書を、このパソコンで取得します。
home-who = 次の方がご利用になれます
home-who-first = 初めて電子証明書を取得する方
home-who-expired = 電子証明書の有効期限が切れた方
home-who-reissue = 再発行の手続きをされた方
home-need = ご用意いただくもの
home-need-password = ID（管理者IDまたは利用者ID）とパスワード
home-need-mail = 登録された電子メールアドレスで受け取る確認コード
home-start = 電子証明書取得
home-login-title = 有効な電子証明書をお持ちの方
home-login-body = ログインして、メイン画面の「証明書更新」から更新してください。
home-login = ログイン画面へ

enrol-title = 電子証明書取得
enrol-heading = ご本人の確認
enrol-lead = IDとパスワードを入力してください。次の画面で、電子メールでお送りする確認コードを入力していただきます。
enrol-submit = 次へ
enrol-too-many-title = しばらくの間、手続きができません
enrol-too-many = このIDでの手続きが続いたため、一時的に停止しています。{ $wait }ほど待ってから、もう一度お試しください。電子証明書でのログインには影響しません。
enrol-crowded = お使いのネットワークからの手続きが続いたため、一時的に停止しています。{ $wait }ほど待ってから、もう一度お試しください。電子証明書でのログインには影響しません。
enrol-busy-title = ただいま混み合っています
enrol-busy = 手続きが混み合っています。{ $wait }ほど待ってから、もう一度お試しください。入力された内容に問題はありません。

code-title = 確認コードの入力
code-lead = IDとパスワードが正しければ、登録された電子メールアドレスへ確認コードをお送りしました。
code-field = 確認コード
code-hint = { $minutes }分以内に、{ $digits }桁の数字を入力してください。貼り付けもできます。
code-submit = 確認する
code-none-title = メールが届かないときは
code-none-body = 迷惑メールのフォルダをご確認ください。何も届いていない場合は、IDとパスワードをお確かめのうえ、入力からやり直してください。有効な電子証明書をお持ちの場合、取得できる期間を過ぎている場合、発行が許可されていない場合、登録アドレスの変更から間もない場合は、確認コードの代わりに、その理由を登録アドレスへお送りしています。登録アドレスがない場合や変更したい場合は、お問い合わせ窓口へご依頼ください。
code-none-link = IDとパスワードの入力に戻る
code-missing = 確認コードを入力してください。
code-wrong-title = 確認できませんでした
code-wrong = 確認コードが正しくありません。最新のメールに書かれた数字をご確認ください。
code-expired-title = 確認コードの期限が切れました
code-expired = IDとパスワードの入力からやり直して、新しい確認コードをお受け取りください。
code-spent-title = 確認コードの入力回数を超えました
code-spent = この確認コードは使えなくなりました。IDとパスワードの入力からやり直してください。
code-too-many-title = しばらくの間、手続きができません
code-too-many = 誤った入力が続いたため、手続きを一時的に停止しています。{ $wait }ほど待ってから、もう一度お試しください。

enrolment-idle-title = 操作がなかったため、手続きを中断しました
enrolment-idle-body = 安全のため、{ $minutes }分間操作がないと手続きを中断します。IDとパスワードの入力からやり直すと、続きから再開できます。
enrolment-total-title = 手続きをやり直してください
enrolment-total-body = 手続きの開始から時間が経ったため、安全のため中断しました。IDとパスワードの入力からやり直すと、続きから再開できます。
