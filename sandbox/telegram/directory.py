"""Directory: who is who, as the Bot API shows users and chats.

In        the number of a bot or a person.
Out       a User or a private Chat.
"""

from sandbox.telegram.records import Json, Records
from sandbox.telegram.refusals import bad_request


class Directory:
    """Show bots and people as the Bot API shows them."""

    def __init__(self, records: Records) -> None:
        self._records = records

    def bot(self, bot_id: int) -> Json:
        """Show a bot as a user."""
        bot = self._records.bot(bot_id) or {}
        return {
            "id": bot_id,
            "is_bot": True,
            "first_name": bot.get("first_name", ""),
            "username": bot.get("username", ""),
        }

    def person(self, person_id: int) -> Json:
        """Show a person as a user."""
        person = self._records.person(person_id)
        if person is None:
            raise bad_request("user not found")
        return {
            "id": person_id,
            "is_bot": False,
            "first_name": person["first_name"],
            "username": person["username"],
            "language_code": "en",
        }

    def partner(self, bot_id: int, person_id: int) -> Json:
        """Show a person as a user; refused when they never wrote to this bot."""
        if self._records.chat(bot_id, person_id) is None:
            raise bad_request("chat not found")
        return self.person(person_id)

    def chat(self, person_id: int) -> Json:
        """Show the private chat with a person."""
        person = self.person(person_id)
        return {
            "id": person_id,
            "first_name": person["first_name"],
            "username": person["username"],
            "type": "private",
        }
