# すべての画面に共通の文言
skip = 本文へ移動
language = 表示言語
failed-prefix = エラー：
sign-out = ログアウト

help-title = お困りのときは
help-hours = 受付時間：{ $hours }
help-doctor = 電子証明書の診断
help-doctor-note = サーバから見えている電子証明書の状態と、次にすることが分かります。
help-mail = ログイン画面へのリンクを電子メールでお送りすることはありません。

yes = はい
no = いいえ
days = { $days }日
seconds = { $seconds }秒
minutes = { $minutes }分

kind-info = お知らせ
kind-ok = 正常
kind-warn = ご注意
kind-stop = 重要

steps = 手続きの流れ
step-of = { $count }段階のうち{ $here }段階目
step-done = 完了
step-notice = 更新のご案内
step-identify = ご本人の確認
step-preparing = 前処理
step-start = 更新の開始
step-obtain = 取得の開始
step-complete = 発行完了
step-activate = 証明書の確認

field-id = ID
field-password = パスワード
field-id-hint = 管理者IDまたは利用者IDを入力してください。
summary-title = 入力内容をご確認ください
missing-id = IDを入力してください。
missing-password = パスワードを入力してください。

label-serial = シリアル番号
label-subject = ID
label-expiry = 有効期限
label-validity = 有効期間
label-days-left = 残り日数
label-protection = 鍵の保管方法
label-issuer = 認証局
range = { $from } から { $to } まで
protection-file = ファイル（パスフレーズ付き）
protection-os = このパソコンの証明書ストア
protection-hardware = このパソコンのセキュリティチップ
