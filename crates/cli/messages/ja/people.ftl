# 窓口での問いかけ。
people-choose-pin = { $certificate }の暗証番号を決めて入力してください ({ $format })
people-repeat-pin = 確認のため、もう一度入力してください
people-pins-differ = 二つの入力が違います。はじめからやり直してください
people-enter-pin = { $certificate }の暗証番号を入力してください ({ $format }。あと { $tries } 回)
people-pin-format-authentication = 数字 4 桁
people-pin-format-signature = 英大文字と数字 6〜16 文字
people-pin-hidden = 入力した文字は表示されません。やめるには Ctrl-C を押してください
people-pin-refused = この暗証番号は使えません: { $reason }
people-card-face-code = 照合番号B (生年月日 6 桁、有効期限の西暦 4 桁、セキュリティコード 4 桁) を入力してください
people-card-face-code-format = 14 桁の数字で入力してください
people-applicant-is-here = 申請者は窓口にいて、本人確認が済んでいますか
people-substituted-characters = { $count } 字を代替文字に置き換えます。申請者は同意していますか
people-overwrites-in-place = このカードは、新しい鍵を今の鍵に上書きします。終わるまで今の電子証明書は使えません。途中でカードを外すと、使える電子証明書がなくなります。終わるまでカードを動かさないでください。申請者は同意していますか
people-yes-no = [はい = y / いいえ = n]
people-yes-no-again = y か n で答えてください
people-choose-substitute = { $text }の { $position } 文字目は電子証明書に使えません。代替文字を入力してください
people-text-name = 氏名
people-text-alias = 通称
people-text-address = 住所
