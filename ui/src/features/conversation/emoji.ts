/** A few hundred emoji by group, each with words to find it by. Small on purpose: the system's own picker has the rest. */
export type EmojiGroup = 'smileys' | 'people' | 'hearts' | 'shop' | 'nature' | 'things' | 'signs';

const TABLE: Record<EmojiGroup, string> = {
  smileys:
    '😀 grin happy|😃 smile happy|😄 laugh happy|😁 grin|😆 laugh|😅 sweat relief|😂 tears joy laugh|🤣 rolling laugh|🙂 smile|🙃 upside down|😉 wink|😊 blush smile|😇 angel|🥰 love hearts|😍 love eyes|🤩 star eyes wow|😘 kiss|😋 yum tasty|😜 tongue wink|🤗 hug|🤭 giggle oops|🤫 quiet|🤔 think hmm|🫡 salute|😐 neutral|😏 smirk|🙄 eye roll|😬 grimace|😌 relieved|😴 sleep|😷 mask ill|🤒 fever ill|🤕 hurt|🥵 hot|🥶 cold|😵 dizzy|🤯 mind blown|🥳 party|😎 cool sunglasses|🤓 nerd|😕 confused|😟 worried|🙁 sad|😮 wow surprised|😲 astonished|😳 flushed|🥺 please|😢 cry sad|😭 cry loud|😱 scream|😞 disappointed|😩 weary|😤 huff|😡 angry|🤝 deal handshake|💩 poo|👻 ghost|🤖 robot',
  people:
    '👍 thumbs up yes good|👎 thumbs down no|👌 ok|🤌 pinched|✌️ peace victory|🤞 fingers crossed luck|🤙 call|👈 left|👉 right|👆 up|👇 down|☝️ one up|👋 wave hello bye|🖐️ hand five|✋ stop hand|👏 clap bravo|🙌 hooray|🫶 heart hands|👐 open hands|🙏 thanks please pray|💪 strong muscle|✍️ write|👀 eyes look|🧠 brain|🙋 raise hand question|🙆 ok person|🤷 shrug|🤦 facepalm|🙇 bow sorry|👩‍💻 computer work|👷 builder|🧑‍🍳 cook|🎅 santa|👶 baby|👨‍👩‍👧 family|💃 dance|🏃 run',
  hearts: '❤️ heart love red|🧡 orange heart|💛 yellow heart|💚 green heart|💙 blue heart|💜 purple heart|🖤 black heart|🤍 white heart|🩷 pink heart|💔 broken heart|❣️ heart exclamation|💕 two hearts|💖 sparkling heart|💘 arrow heart|💝 gift heart|💯 hundred|💥 boom|✨ sparkles|⭐ star|🌟 star glow|🔥 fire hot|🎉 party tada|🎊 confetti|🎈 balloon|🎁 gift present|🏆 cup winner|🥇 first gold',
  shop:
    '📦 parcel box package|🚚 truck delivery|🚛 lorry|✈️ plane|🛵 scooter|📬 mailbox|📮 postbox|✉️ mail letter|📧 e-mail|🏷️ label price|🛒 cart shop|🛍️ bags shopping|💳 card pay|💶 euro money|💰 money|🧾 receipt invoice|🏪 shop store|🏠 home house|📅 calendar date|🗓️ calendar|⏰ alarm clock time|⏳ wait hourglass|⌛ time|📞 phone call|📱 mobile|💬 chat message|📝 note write|📎 clip attach|📷 camera photo|🖼️ picture|🔍 search find|🔧 tool repair|🛠️ tools|🧵 thread sew|✂️ scissors cut|📏 size ruler|👗 dress|👚 blouse|👕 shirt|👖 jeans trousers|🧥 coat|🧦 socks|👟 shoe sneaker|👠 heel shoe|👢 boot|👜 handbag|🎒 backpack|🧢 cap|👒 hat|🧣 scarf|🧤 gloves|💍 ring|👓 glasses|💄 lipstick',
  nature: '🌞 sun|☀️ sun|🌤️ sun cloud|☁️ cloud|🌧️ rain|❄️ snow cold|🌈 rainbow|🌸 blossom flower|🌹 rose|🌷 tulip|🌻 sunflower|💐 bouquet flowers|🌿 leaf herb|🍀 luck clover|🌲 tree|🎄 christmas tree|🐶 dog|🐱 cat|🐰 rabbit|🐻 bear|🦊 fox|🐝 bee|🦋 butterfly|🐟 fish|🍎 apple|🍓 strawberry|🍋 lemon|🥑 avocado|🍞 bread|🧀 cheese|🍕 pizza|🍔 burger|🍰 cake|🎂 birthday cake|🍫 chocolate|🍦 ice cream|☕ coffee|🍵 tea|🍷 wine|🍺 beer|🥂 cheers',
  things: '💡 idea bulb|🔑 key|🔒 lock|🔔 bell|🎵 music|🎧 headphones|💻 computer laptop|🖨️ printer|📚 books|📌 pin|📍 place pin|🗺️ map|🧭 compass|🚗 car|🚲 bike|🚆 train|⚽ football|🎮 game|🧸 teddy toy|🛏️ bed|🪑 chair|🛋️ sofa|🕯️ candle|🧼 soap|🧹 broom|♻️ recycle',
  signs: '✅ done yes check|☑️ check|✔️ check|❌ no cross|❎ cross|⚠️ warning|❗ important exclamation|❓ question|ℹ️ info|➡️ right arrow|⬅️ left arrow|⬆️ up arrow|⬇️ down arrow|🔁 repeat|🔄 again refresh|🆗 ok|🆕 new|🆓 free|🔝 top|🔜 soon|1️⃣ one|2️⃣ two|3️⃣ three|🔴 red|🟠 orange|🟡 yellow|🟢 green|🔵 blue|⚫ black|⚪ white|🇸🇰 slovakia flag|🇨🇿 czech flag|🇵🇱 poland flag|🇭🇺 hungary flag|🇩🇪 germany flag|🇦🇹 austria flag|🇺🇦 ukraine flag|🇪🇺 europe flag|🇬🇧 britain flag',
};

export interface Emoji {
  sign: string;
  words: string;
}

export const groups: { name: EmojiGroup; all: Emoji[] }[] = (Object.keys(TABLE) as EmojiGroup[]).map((name) => ({
  name,
  all: TABLE[name].split('|').map((one) => {
    const [sign = '', ...words] = one.split(' ');
    return { sign, words: words.join(' ') };
  }),
}));

/** Those that a search means. */
export function searched(text: string): Emoji[] {
  const wanted = text.trim().toLowerCase();
  const all = groups.flatMap((group) => group.all);
  const starts = all.filter((one) => one.words.split(' ').some((word) => word.startsWith(wanted)));
  return [...starts, ...all.filter((one) => !starts.includes(one) && one.words.includes(wanted))];
}

const KEY = 'deskbell.emoji';
const MOST_RECENT = 16;

/** Those that were used last on this device. */
export function recent(): string[] {
  try {
    const kept: unknown = JSON.parse(localStorage.getItem(KEY) ?? '[]');
    return Array.isArray(kept) ? kept.filter((one): one is string => typeof one === 'string' && one.length < 20).slice(0, MOST_RECENT) : [];
  } catch {
    return [];
  }
}

export function used(sign: string): void {
  try {
    localStorage.setItem(KEY, JSON.stringify([sign, ...recent().filter((one) => one !== sign)].slice(0, MOST_RECENT)));
  } catch {
    // A browser that keeps nothing remembers none.
  }
}
