# 手続の誤り。本文 = 何が起きたか、.cause = 考えられる原因、.mend = 次にすること。
error-log-on-refused = 操作者を認証できませんでした
    .cause = 照合IDが違うか、登録した手のひらと一致しません
    .mend = 照合IDを確かめ、登録した方の手でもう一度お試しください。続けて認証できないときは、アクセス管理責任者に登録のやり直しを依頼してください
error-no-usable-capture = 手のひらを読み取れませんでした ({ $reason })
    .cause = 手の位置や明るさが合っていないか、センサーの窓が汚れています
    .mend = センサーの窓を拭き、手のひらを開いて、中央の少し上に静かにかざしてください
error-not-logged-on = ログオンしていません
    .cause = 操作のない時間が続いて画面がロックされたか、まだ照合情報認証をしていません
    .mend = もう一度ログオンしてください
error-not-allowed = この操作は許可されていません
    .cause = 操作者の権限では行えない操作です
    .mend = アクセス管理責任者に依頼してください
error-second-person-needed = 立会者が必要です
    .cause = この操作は二人で行うものですが、立会者の指定がないか、同じ照合IDが指定されました
    .mend = 別の操作者の照合IDを立会者に指定し、その人にも手のひらをかざしてもらってください
error-last-access-manager = 最後のアクセス管理責任者は廃止できません
    .cause = ほかにアクセス管理責任者がいないため、廃止すると操作者の登録も廃止もできなくなります
    .mend = 先に別のアクセス管理責任者を登録してください
error-user-id-not-free = この照合IDは使えません
    .cause = すでに登録されているか、英数字 4〜16 文字ではありません
    .mend = 別の照合IDを決めてください。operator list で登録済みのものを見られます
error-unknown-operator = この照合IDの操作者はいません
    .cause = 照合IDの入力誤りです
    .mend = operator list で登録済みのものを確かめてください
error-enrol-unusable = 手のひらを登録できませんでした ({ $reason })
    .cause = 使える画像が足りません。手の位置や明るさが合っていないか、センサーの窓が汚れています
    .mend = センサーの窓を拭き、手のひらを開いて静かにかざし、登録をやり直してください
error-enrol-inconsistent = 手のひらを登録できませんでした
    .cause = 撮影ごとに手が違うか、かざし方が大きく違います
    .mend = 同じ手を同じようにかざして、登録をやり直してください
error-unknown-resident = その番号の住民は登録されていません
    .cause = 宛名番号の打ち間違いか、転出した人です
    .mend = 住民票で宛名番号を確かめてください
error-not-eligible = { $certificate }は発行できません: { $reason }
    .cause = 申請者がこの電子証明書の発行要件を満たしていません
    .mend = 申請者に発行できない理由を説明してください。もう一方の電子証明書だけを発行するには --kind を使ってください
error-application = 申請を作れません: { $reason }
    .cause = 住民基本台帳の記録に、電子証明書に載せられない文字や長さがあります
    .mend = 住民記録の担当に、該当する項目の代替文字や記載を確かめてもらってください
error-no-card = カードが置かれませんでした
    .cause = カードがないか、リーダーの上でずれています
    .mend = カードをリーダーにまっすぐ置いて、もう一度はじめてください
error-wrong-card = このカードはこの窓口では使えません
    .cause = マイナンバーカードではないか、別の自治体の鍵で作られたカードです
    .mend = カードの種類と発行元を確かめてください
error-wrong-face-code = 照合番号Bがカードと一致しません (あと { $tries } 回)
    .cause = 券面の読み違いか打ち間違いです。生年月日は和暦、有効期限は西暦です
    .mend = 券面をもう一度見て入力してください。回数を使い切るとカードの照合番号が使えなくなります
error-card-of-another-person = 申請者のカードではありません ({ $item }が違います)
    .cause = 別の人のカードか、カードの記載が住民基本台帳より古くなっています
    .mend = カードと申請者を確かめてください。記載が古いときは、先に券面の記載を更新してください
error-already-issued = { $certificate }は発行済みです
    .cause = このカードには有効な電子証明書が入っています
    .mend = 新しくするときは、更新 (issue --renew) を行ってください
error-card-expired = カードの有効期限が切れています
    .cause = 券面に記載された有効期限を過ぎています。電子証明書はカードの有効期限を越えられません
    .mend = 先にカードの再交付を受けてください。カードは変わっていません
error-card-makes-no-keys = このカードは鍵ペアを生成できません
    .cause = 鍵ペアを外で作って書き込む種類のカードで、この端末では扱えません
    .mend = 別のカードに発行するか、保守担当者に連絡してください。カードは変わっていません
error-weak-key = カードが生成した{ $certificate }の鍵は安全ではありません ({ $weakness })
    .cause = カードの鍵生成に欠陥があり、同じ種類のほかのカードにもあるおそれがあります。電子証明書の発行は要求していません
    .mend = このカードを使わないでください。カードの種類と製造番号を、カードの発行元と情報セキュリティ責任者に知らせてください。前の電子証明書が上書きされていた場合、それは失効済みです
error-nothing-to-renew = 更新する{ $certificate }がありません
    .cause = このカードにはまだ電子証明書が発行されていません
    .mend = --renew を付けずに発行してください
error-pin-blocked = { $certificate }の暗証番号がロックされています
    .cause = 続けて間違えたため、カードが受け付けなくなっています
    .mend = 暗証番号の初期化 (再設定) の手続を行ってください
error-pin = この暗証番号は使えません: { $reason }
    .cause = 長さや文字が決まりに合わないか、推測されやすい番号です
    .mend = 申請者に別の暗証番号を決めてもらってください
error-cancelled = 取り消しました
    .cause = 操作者か申請者が取り消したか、時間内に答えがありませんでした
    .mend = 必要なら、はじめからやり直してください。途中のものがあれば、カードを次に読み取るときに整合を取ります
error-card-refused = カードが処理を受け付けませんでした
    .cause = カードの状態が手続と合わないか、このカードが対応していない処理です
    .mend = カードを置き直し、card show で状態を確かめてください。続くときは保守担当に --verbose の出力を渡してください
error-card-gone = 途中でカードが外れました
    .cause = カードが取り去られて戻らないか、接触が続けて切れています
    .mend = 同じカードをもう一度置いて、手続をはじめからやり直してください。途中のものは自動で整合を取ります
error-authority-unreachable = 認証局と通信できません
    .cause = 回線か、認証局の側が止まっています
    .mend = doctor で回線を確かめてください。途中のものは、カードを次に読み取るときに整合を取ります
error-authority-refused = 認証局が受け付けませんでした
    .cause = 申請の内容か、この端末の登録が認証局の条件に合っていません
    .mend = 操作履歴 (log show) を確かめ、認証局の窓口に問い合わせてください
error-authority-not-trusted = 認証局の応答を信用できません
    .cause = 登録された認証局以外からの応答か、途中で書き換えられた応答です
    .mend = 手続を中止し、情報セキュリティ責任者に知らせてください
error-certificate-differs = 発行された電子証明書が申請と違います ({ $field })
    .cause = 認証局の側で内容が変わりました。この電子証明書は有効になりません
    .mend = カードは元のままです。認証局の窓口に問い合わせてください
error-unexpected-event = 内部の手順に矛盾があります
    .cause = このプログラムの誤りです
    .mend = 手続を中止し、--verbose の出力を添えて開発元に知らせてください
error-other = 手続を続けられません
    .cause = このプログラムが知らない誤りです
    .mend = --verbose の出力を添えて保守担当に知らせてください

# 発行要件を満たさない理由。
ineligible-under-fifteen = 15 歳未満です
ineligible-stay-ended = 在留期間が満了しています
ineligible-not-yet-born = 生年月日が今日より後です
ineligible-other = 要件を満たしていません

# カードが生成した鍵の弱点。
weak-key-malformed = 鍵を読み取れません
weak-key-other-algorithm = アルゴリズムが違います
weak-key-size = 鍵の長さが違います
weak-key-exponent = 公開指数が違います
weak-key-small-factor = 小さな素因数があります
weak-key-close-primes = 素因数どうしが近すぎます
weak-key-roca = ROCA、CVE-2017-15361
weak-key-not-on-curve = 曲線上の点ではありません
weak-key-other = 既知の弱点があります

# 暗証番号が使えない理由。申請者が読む。
pin-wrong-length = { $min ->
    [4] 4 桁で入力してください
   *[other] { $min } 文字以上 { $max } 文字以下で入力してください
}
pin-not-digits = 半角の数字だけを使ってください
pin-not-letters-and-digits = 半角の英字と数字だけを使ってください
pin-no-letter = 英字を 1 文字以上使ってください
pin-no-digit = 数字を 1 文字以上使ってください
pin-birthday = 生年月日は使えません
pin-repeat = 同じ文字の繰り返しは使えません
pin-run = 1234 や ABCD のような並びは使えません
pin-other = 別の番号にしてください

# 申請を作れない理由。
application-text = { $item }に{ $problem }
application-not-yet-born = 生年月日が申請の日より後です
application-other = 住民基本台帳の記録をそのままでは使えません
text-empty = 何も記録されていません
text-too-long = 文字が多すぎます ({ $characters } 字)
text-no-substitute = 代替文字の決まっていない文字があります ({ $position } 字目)
text-choice-not-allowed = 代替文字に使えない文字が選ばれています ({ $position } 字目)
text-needless-choice = 代替文字の要らない文字に代替文字が選ばれています ({ $position } 字目)
text-other = 電子証明書に載せられない内容があります

# 説明の見出し。
error-cause = 原因: {""}
error-mend = 対処: {""}
error-technical = 詳細: { $chain }
