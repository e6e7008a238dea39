# 手続の進み具合。左の列は項目、右は内容。
progress-log-on = 照合情報認証
progress-log-on-done = 照合ID { $operator }
progress-second-person = 立会者の照合
progress-captures = ({ $captures } 回目の撮影。それまでは{ $reasons })
progress-capture-retried = もう一度手をかざしてください ({ $reason })
progress-refused-captures = (撮影した手のひら: { $reasons })
progress-log-on-refused = 認証できませんでした
progress-interruption = 中断の確認
progress-interruption-found = { $count ->
    [0] 手続が中断していました。カードは次に読み取るときに整合を取ります
   *[other] 中断した手続の記録 { $count } 件を閉じました。カードは次に読み取るときに整合を取ります
}
progress-application = 申請
progress-application-taken = { $kinds }電子証明書  本人確認情報 取得
progress-application-substituted = (代替文字 { $count } 字)
progress-card = カード確認
progress-card-new = 本人のカード  未発行
progress-card-found = 本人のカード  { $slots }
progress-slot = { $kind } { $state }
progress-slot-empty = 未発行
progress-slot-active = 発行済
progress-slot-pending = 書込み途中
progress-slot-interrupted = 途中で中断 (使えるものなし)
progress-slot-active-pending = 発行済 (更新の途中)
progress-card-overwrites = このカードは鍵を上書きします
progress-card-imports = このカードは鍵ペアを生成しません。HSM で生成します
progress-card-keys = カード鍵
progress-card-keys-added = バージョン { $version } を古い鍵と並べて書き込みました
progress-card-keys-proved = バージョン { $version } で通信路が開くことを確かめました
progress-card-keys-removed = バージョン { $version } を削除しました
progress-card-keys-rolled-back = バージョン { $version } は使えなかったため取り消しました
progress-slot-separator = {"  "}
progress-card-lost = カードが外れました。同じカードをもう一度置いてください
progress-authority-retried = 認証局にもう一度問い合わせています ({ $attempt } 回目)
progress-erase = 一時記録の消去
progress-erased = 消去済
progress-log-off = 終了
progress-logged-off = ログオフしました
progress-settle = 整合
progress-settled-committed = { $kind }: 有効な電子証明書をカードに確定しました
progress-settled-confirmed-and-committed = { $kind }: 認証局に受領を伝え、カードに確定しました
progress-settled-discarded = { $kind }: 書込み途中のものを破棄しました
progress-settled-superseded = { $kind }: 前の電子証明書を失効しました
progress-reached-issued = カードに入り、有効です
progress-reached-step = 「{ $step }」まで進みました。次の読取りで整合を取ります
progress-apdu = カード  { $header }  送信 { $sent }  受信 { $received }  { $status }
progress-message = 認証局  { $kind }  送信 { $sent }  受信 { $received }

# 手続の各段階。右の時間の前に並ぶ。
step-pin = 暗証番号
step-generate-key = 鍵ペア生成
step-import-key = HSM で鍵ペア生成・書込み
step-request = 発行
step-check = 内容照合
step-write = 書込み
step-exercise = 動作確認
step-confirm = 有効
step-commit = 確定
step-supersede = 前の証明書を失効
step-timed = { $step } ({ $time })
step-timed-by-card = { $step } (カード時間 { $time })
step-interrupted = { $step } 中断
step-running-for = { $step } … { $seconds } 秒
step-running = { $step } …

# 手のひらの撮影をやり直す理由。
retry-no-hand = 手がありません
retry-too-near = 近すぎます
retry-too-far = 遠すぎます
retry-too-left = 左に寄りすぎています
retry-too-right = 右に寄りすぎています
retry-off-centre = 中央にありません
retry-moving = 動いています
retry-tilted = 手が傾いています
retry-too-dark = 暗すぎます
retry-too-bright = 明るすぎます
retry-covered = 手のひらが隠れています
retry-no-veins = 静脈が読み取れません
retry-not-recognised = 一致しません
retry-other = 読み取れません
retry-quoted = 「{ $reason }」
